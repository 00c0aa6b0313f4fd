#!/usr/bin/env python3
"""Makes `parquet/`: small files in every codec and type that people bring, and `expected.json`, what pandas reads in them.

pip install pandas pyarrow; python3 make_parquet.py
"""
import datetime as dt
import decimal
import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parquet")
os.makedirs(here, exist_ok=True)
texts = ["good film", "naïve 電影", "", "bad film", "good film"]

for codec in ["none", "gzip", "brotli", "lz4", "snappy", "zstd"]:
    # Enough rows that something is packed.
    table = pa.table({"text": texts * 8, "label": pa.array([1, 0, 1, 0, 1] * 8, pa.int64())})
    pq.write_table(table, f"{here}/{codec}.parquet", compression=codec)

moment = dt.datetime(2020, 1, 31, 12, 30, 5)
exact = dt.datetime(2020, 1, 31, 12, 30, 5, 123456)
moments = [moment, exact, None, moment, exact]
message = lambda role, content: {"role": role, "content": content}
columns = {
    "binary": pa.array([text.encode() for text in texts], pa.binary()),
    "large_binary": pa.array([text.encode() for text in texts], pa.large_binary()),
    "fixed": pa.array([b"ab", b"cd", b"ef", None, b"ij"], pa.binary(2)),
    "large_string": pa.array(texts, pa.large_string()),
    "string_view": pa.array(texts, pa.string_view()),
    "dictionary": pa.array(texts, pa.string()).dictionary_encode(),
    "decimal32": pa.array([decimal.Decimal(x) for x in ["1.50", "-0.05", "0.00", "12.34", "99.99"]], pa.decimal128(4, 2)),
    "decimal": pa.array([decimal.Decimal(x) for x in ["1.50", "-0.05", "0.00", "12.34", "99999999.99"]], pa.decimal128(20, 2)),
    "decimal256": pa.array([decimal.Decimal(x) for x in ["1", "-2", "3", "123456789012345678901234567890123456789012", "5"]], pa.decimal256(60, 0)),
    "timestamp_ms": pa.array([moment, moment, None, moment, moment], pa.timestamp("ms")),
    "timestamp_us": pa.array(moments, pa.timestamp("us")),
    "timestamp_ns": pa.array(moments, pa.timestamp("ns")),
    "timestamp_utc": pa.array(moments, pa.timestamp("us", tz="UTC")),
    "date": pa.array([moment.date()] * 5, pa.date32()),
    "float16": pa.array(np.array([0.5, 1.25, -2.0, 3.5, 4.75], np.float16)),
    "bool": pa.array([True, False, None, True, False]),
    "uint8": pa.array([0, 255, None, 3, 4], pa.uint8()),
    "int64": pa.array([2**63 - 1, -(2**63), None, 3, 4], pa.int64()),
    "uint64": pa.array([2**64 - 1, 0, None, 3, 4], pa.uint64()),
    "null": pa.nulls(5),
    "messages": pa.array(
        [[message("user", f"q{i}"), message("assistant", text)] for i, text in enumerate(texts)]
    ),
    "record": pa.array([{"inner": {"text": text}, "n": i} if i != 2 else None for i, text in enumerate(texts)]),
}
table = pa.table(columns)
pq.write_table(table, f"{here}/types.parquet", compression="zstd", store_decimal_as_integer=True)
pq.write_table(
    pa.table({"int96": pa.array(moments, pa.timestamp("ns"))}),
    f"{here}/int96.parquet",
    use_deprecated_int96_timestamps=True,
)


def text(value):
    """The cell as pandas prints it; bytes are the texts that they hold."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value) or value is pd.NA:
        return None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    return str(value)


frame = pd.read_parquet(f"{here}/types.parquet", dtype_backend="pyarrow")
expected = {name: [text(value) for value in frame[name]] for name in frame.columns if name not in ("messages", "record")}
expected["messages[-1].content"] = [row[-1]["content"] for row in table["messages"].to_pylist()]
expected["messages[0].role"] = [row[0]["role"] for row in table["messages"].to_pylist()]
expected["messages[5].role"] = [None] * 5
expected["record.inner.text"] = [row and row["inner"]["text"] for row in table["record"].to_pylist()]
expected["int96"] = [text(value) for value in pd.read_parquet(f"{here}/int96.parquet")["int96"]]
with open(f"{here}/expected.json", "w") as file:
    json.dump(expected, file, ensure_ascii=False, indent=1)
