#!/usr/bin/env python3
"""Generated dumps in the true formats of every kind of source, of any size.

    corpus_dumps.py KIND BYTES FOLDER     makes one; prints its path and how many documents it holds
"""
import base64
import gzip
import io
import json
import lzma
import os
import random
import struct
import sys
import tarfile
import zlib

WORDS = "the of and to in is that for it with kernel module system file server network option value memory page".split()


def prose(rng, words):
    return " ".join(rng.choices(WORDS, k=words)) + f" {rng.random()}."


def html(rng, words):
    return f"<p>{prose(rng, words)}</p>\n<pre>{prose(rng, 20)}</pre>\n"


class Measured:
    """A file that knows how much was written to it, before compression."""

    def __init__(self, file):
        self.file, self.size = file, 0

    def write(self, text):
        data = text.encode() if isinstance(text, str) else text
        self.size += len(data)
        self.file.write(data)


def lines_dump(name, make):
    """A .gz of lines; make(rng, number): a line and how many documents it begins."""

    def dump(folder, size):
        path, documents, rng = f"{folder}/{name}", 0, random.Random(1)
        with gzip.open(path, "wb", compresslevel=1) as file:
            out, number = Measured(file), 0
            while out.size < size:
                line, count = make(rng, number)
                out.write(line)
                documents, number = documents + count, number + 1
        return path, documents

    return dump


def issue(rng, number):
    """Every third line an issue, then two comments on an earlier one."""
    about = number - number % 3 if number % 3 < 2 or number < 300 else (number - 300) - number % 3
    event = {
        "id": str(number),
        "type": "IssueCommentEvent" if number % 3 else "IssuesEvent",
        "actor": {"login": "ann"},
        "repo": {"name": "o/r"},
        "payload": {"issue": {"number": about, "title": f"Fault {about}", "body": prose(rng, 300), "labels": []}},
    }
    if number % 3:
        event["payload"]["comment"] = {"id": number, "body": prose(rng, 100)}
    return json.dumps(event) + "\n", number % 3 == 0


def paper(rng, number):
    return json.dumps({"corpusid": number + 1, "content": {"text": prose(rng, 3000)}}) + "\n", 1


def json_line(rng, number):
    return json.dumps({"id": str(number), "text": prose(rng, 400)}) + "\n", 1


def posts(rng, size):
    """Posts.xml in pieces; the answers of a question come a thousand rows after it."""

    def escaped(text):
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")

    yield '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n', 0
    done = number = 0
    while done < size or number % 2000 != 0:
        number += 1
        question = (number - 1) % 2000 < 1000
        body = escaped(html(rng, 200))
        if question:
            row = f'  <row Id="{number}" PostTypeId="1" AcceptedAnswerId="{number + 1000}" Score="1" Body="{body}" Title="Q {number}" Tags="&lt;a&gt;" />\n'
        else:
            row = f'  <row Id="{number}" PostTypeId="2" ParentId="{number - 1000}" Score="2" Body="{body}" />\n'
        done += len(row)
        yield row, int(question)
    yield "</posts>\n", 0


def stack_exchange(folder, size):
    path, documents = f"{folder}/Posts.xml", 0
    with open(path, "wb") as file:
        for piece, count in posts(random.Random(1), size):
            file.write(piece.encode())
            documents += count
    return path, documents


def number_7z(value):
    """7-Zip's form of a number: the first byte tells how many follow."""
    for extra in range(8):
        if value < 1 << (7 * (extra + 1)):
            return bytes([(0xFF00 >> extra) & 0xFF | value >> (8 * extra)]) + (value & ((1 << 8 * extra) - 1)).to_bytes(
                extra, "little"
            )
    return b"\xff" + value.to_bytes(8, "little")


def stack_exchange_in_7z(folder, size):
    """One file, LZMA2, its header plain: what 7-Zip makes of it with -mhc=off."""
    path, documents, plain, crc = f"{folder}/site.7z", 0, 0, 0
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 23}])
    with open(path, "wb") as file:
        file.write(b"\0" * 32)
        for piece, count in posts(random.Random(1), size):
            data = piece.encode()
            plain, crc, documents = plain + len(data), zlib.crc32(data, crc), documents + count
            file.write(packer.compress(data))
        file.write(packer.flush())
        packed = file.tell() - 32
        name = "Posts.xml\0".encode("utf-16-le")
        header = b"\x01\x04\x06\x00" + number_7z(1) + b"\x09" + number_7z(packed) + b"\x00"
        header += b"\x07\x0b" + number_7z(1) + b"\x00" + number_7z(1) + b"\x21\x21\x01\x16"  # LZMA2, 8 MiB
        header += b"\x0c" + number_7z(plain) + b"\x00\x08\x0a\x01" + struct.pack("<I", crc) + b"\x00\x00"
        header += b"\x05" + number_7z(1) + b"\x11" + number_7z(len(name) + 1) + b"\x00" + name + b"\x00\x00"
        file.write(header)
        start = struct.pack("<QQI", packed, len(header), zlib.crc32(header))
        file.seek(0)
        file.write(b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start)
    return path, documents


def warc(folder, size):
    path, documents, rng, done = f"{folder}/pages.warc.gz", 0, random.Random(1), 0
    with open(path, "wb") as file:
        while done < size:
            page = f"<html><head><title>Page {documents}</title></head><body>{html(rng, 800)}</body></html>"
            body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}"
            record = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/{documents}\r\nContent-Length: {len(body)}\r\n\r\n{body}\r\n\r\n"
            done, documents = done + len(record), documents + 1
            file.write(gzip.compress(record.encode(), 1))  # a member a record, as crawlers write them
    return path, documents


def add_file(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def arxiv(folder, size):
    path, documents, rng, done = f"{folder}/arXiv_src.tar", 0, random.Random(1), 0
    with tarfile.open(path, "w") as tar:
        while done < size:
            text = "\\documentclass{article}\\title{T}\\begin{document}\n\\section{One}\n" + prose(rng, 8000) + "\n\\end{document}\n"
            add_file(tar, f"2101/2101.{documents:05}.gz", gzip.compress(text.encode(), 1))
            done, documents = done + len(text), documents + 1
    return path, documents


def discourse(folder, size):
    documents, rng, done = 0, random.Random(1), 0
    os.mkdir(f"{folder}/topics")
    while done < size:
        topic = {"id": documents + 1, "title": "T", "post_stream": {"posts": [{"cooked": html(rng, 200)} for _ in range(20)]}}
        text = json.dumps(topic)
        with open(f"{folder}/topics/{documents}.json", "w") as file:
            file.write(text)
        done, documents = done + len(text), documents + 1
    return f"{folder}/topics", documents


def folder_of_files(folder, size):
    documents, rng, done = 0, random.Random(1), 0
    os.mkdir(f"{folder}/site")
    makers = {"html": lambda: f"<title>T</title>{html(rng, 3000)}", "md": lambda: f"# T\n\n{prose(rng, 3000)}\n"}
    while done < size:
        kind = ("html", "md")[documents % 2]
        text = makers[kind]()
        with open(f"{folder}/site/{documents}.{kind}", "w") as file:
            file.write(text)
        done, documents = done + len(text), documents + 1
    return f"{folder}/site", documents


def mbox(folder, size):
    path, documents, rng, done = f"{folder}/list.mbox", 0, random.Random(1), 0
    with open(path, "w") as file:
        while done < size:
            message = f"From a@b Mon Jan  1 00:00:00 2024\nSubject: S\nMessage-ID: <{documents}@x>\n"
            if documents % 2 == 0:
                message += f"\n{prose(rng, 400)}\n\n"
            else:
                coded = base64.encodebytes(prose(rng, 400).encode()).decode()
                message += f"Content-Transfer-Encoding: base64\n\n{coded}\n\n"
            file.write(message)
            done, documents = done + len(message), documents + 1
    return path, documents


def ar_member(name, data):
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)


def tar_xz(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz", preset=0) as tar:
        for name, data in files:
            add_file(tar, name, data)
    return out.getvalue()


def debian(folder, size):
    """One package with documentation alone: every text there is held at once."""
    path, documents, rng, done, files = f"{folder}/big_1.0_all.deb", 0, random.Random(1), 0, []
    while done < size:
        text = f"<title>T</title>{html(rng, 3000)}".encode()
        files.append((f"./usr/share/doc/big/page{documents}.html", text))
        done, documents = done + len(text), documents + 1
    control = tar_xz([("./control", b"Package: big\nVersion: 1.0\nSection: doc\n")])
    with open(path, "wb") as file:
        file.write(b"!<arch>\n" + ar_member("debian-binary", b"2.0\n"))
        file.write(ar_member("control.tar.xz", control) + ar_member("data.tar.xz", tar_xz(files)))
    return path, documents


KINDS = {
    "debian": debian,
    "folder": folder_of_files,
    "stack_exchange": stack_exchange,
    "stack_exchange_in_7z": stack_exchange_in_7z,
    "gh_archive": lines_dump("2024-01-01-0.json.gz", issue),
    "warc": warc,
    "arxiv": arxiv,
    "papers": lines_dump("papers.jsonl.gz", paper),
    "discourse": discourse,
    "mbox": mbox,
    "json_lines": lines_dump("documents.jsonl.gz", json_line),
}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: corpus_dumps.py {'|'.join(KINDS)} BYTES FOLDER")
    print(*KINDS[sys.argv[1]](sys.argv[3], int(sys.argv[2])))


if __name__ == "__main__":
    main()
