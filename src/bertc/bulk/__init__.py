"""Bulk jobs: many files of rows in, a folder of parquet out, shard by shard, and on from where it stopped."""
