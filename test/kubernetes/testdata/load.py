"""Reads and writes through the Python client until its input ends, and says what its user would have seen: load.py URL."""

import json
import random
import sys
import threading

import larder

READERS, WRITERS, PAUSE = 3, 2, 0.02

env = larder.init(env_date="2026-01-01", client=larder.Client(sys.argv[1], allow_pickle=False))
objects = env.object_service()
keys = [f"py-{i}" for i in range(32)]
acknowledged = dict.fromkeys(keys, 0)
counts = {"requests": 0, "failed": 0, "stale": 0, "failures": []}
guard = threading.Lock()
ended = threading.Event()


def ask(what, question):
    """Does one request. Returns its value, and whether it went well."""
    try:
        value = question()
    except Exception as err:
        with guard:
            counts["requests"] += 1
            counts["failed"] += 1
            counts["failures"].append(f"{what}: {type(err).__name__}: {err}"[:300])
        return None, False
    with guard:
        counts["requests"] += 1
    return value, True


def read(seed):
    choose = random.Random(seed)
    while not ended.wait(PAUSE):
        key = choose.choice(keys)
        least = acknowledged[key]
        value, well = ask("get", lambda key=key: objects.get(key))
        if well and value < least:
            with guard:
                counts["stale"] += 1


def write(own):
    number = 0
    while not ended.is_set():
        number += 1
        for key in own:
            if ended.wait(PAUSE):
                return
            if ask("put", lambda key=key, number=number: objects.put(key, number))[1]:
                acknowledged[key] = number


for key in keys:
    objects.put(key, 0)
print("started", flush=True)
threads = [threading.Thread(target=read, args=(i,)) for i in range(READERS)]
threads += [threading.Thread(target=write, args=(keys[i::WRITERS],)) for i in range(WRITERS)]
for thread in threads:
    thread.start()
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(json.dumps(counts), flush=True)
