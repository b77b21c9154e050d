#!/usr/bin/env python3
"""datatrove's MinHash deduplication of FILE (JSON lines of id and text) on one core, without writing what stays: 5-grams, 14
bands of 8 rows, the words of its own English tokenizer. Prints the seconds of its three steps, imports apart.

    datatrove_bench.py FILE
"""
import json
import os
import struct
import sys
import tempfile
import time

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.hashing import HashConfig
from datatrove.utils.logging import logger


def removed(folder):
    count = 0
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        count += os.path.getsize(f"{folder}/{name}") // struct.calcsize("<I") if name.endswith(".remove") else 0
    return count


def deduplicate(path, scratch):
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    folder, name = os.path.split(os.path.abspath(path))
    steps = [
        (1, [JsonlReader(folder, glob_pattern=name), MinhashDedupSignature(f"{scratch}/signatures", config)]),
        (14, [MinhashDedupBuckets(f"{scratch}/signatures", f"{scratch}/buckets", config=config)]),
        (1, [MinhashDedupCluster(f"{scratch}/buckets", f"{scratch}/removed", config=config)]),
    ]
    seconds = {}
    for number, (tasks, pipeline) in enumerate(steps):
        start = time.perf_counter()
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{scratch}/logs{number}").run()
        seconds[("signatures", "buckets", "clusters")[number]] = time.perf_counter() - start
    return {"seconds": sum(seconds.values()), "steps": seconds, "removed": removed(f"{scratch}/removed")}


def main():
    logger.remove()
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(deduplicate(sys.argv[1], scratch)))


if __name__ == "__main__":
    main()
