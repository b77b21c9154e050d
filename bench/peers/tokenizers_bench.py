"""Speed of Hugging Face's `tokenizers`.

    bench/peers/.venv/bin/python bench/peers/tokenizers_bench.py [--threads 1] [TOKENIZER.json]

Each line of standard input is a request, answered by a line:

    {"encode": FILE}                                    -> {"seconds": s}          the whole text; the reading does not count
    {"ids": FILE}                                       -> {"ids": [...]}
    {"train": FILE.jsonl, "vocab": N, "end": TOKEN, "least": COUNT} -> {"seconds": s, "merges": [[left, right], ...]}

What is trained is a byte-level BPE with GPT-2's pattern.
"""
import argparse
import json
import os
import sys
import time


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def timed(f):
    start = time.perf_counter()
    result = f()
    return time.perf_counter() - start, result


def train(tokenizers, path, vocab, end, least):
    texts = [json.loads(line)["text"] for line in open(path)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=least, special_tokens=[end], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    seconds, _ = timed(lambda: tokenizer.train_from_iterator(texts, trainer))
    return {"seconds": seconds, "merges": json.loads(tokenizer.to_str())["model"]["merges"]}


def main():
    options = parse_options()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # read when the library is loaded
    os.environ["TOKENIZERS_PARALLELISM"] = str(options.threads > 1).lower()
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(options.tokenizer) if options.tokenizer else None
    if tokenizer:
        tokenizer.encode_special_tokens = True  # what is spelt like one stays text, as it does for us
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)
    for line in sys.stdin:
        request = json.loads(line)
        if "train" in request:
            answer = train(tokenizers, request["train"], request["vocab"], request["end"], request["least"])
        elif "ids" in request:
            answer = {"ids": encode(read(request["ids"])).ids}
        else:
            text = read(request["encode"])
            answer = {"seconds": timed(lambda: encode(text))[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
