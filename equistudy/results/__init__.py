"""The Parquet tables: schema, atomic writes, lazy scans, compaction."""
