"""How RocksDB is set up, and why."""

from __future__ import annotations

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
)

MIB = 1024 * 1024


def database_options() -> Options:
    """The options of the database.

    Sized for a daemon that keeps a million tokens within 150 MB of memory:
    memtables of at most 10 × 4 MiB, and one cache for blocks, their indexes
    and filters.
    """
    table = BlockBasedOptions()
    table.set_block_cache(Cache(24 * MIB))
    # Counted in the cache: a large store must not grow memory without bound. In
    # small parts: the filter of a whole file does not fit into a shard of a
    # small cache, and would be read anew for every look-up.
    table.set_cache_index_and_filter_blocks(True)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(4096)
    table.set_pin_top_level_index_and_filter(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    # "Is this hook id new?" is asked for every claim, and the answer is "yes".
    table.set_bloom_filter(10, False)
    table.set_format_version(5)

    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    # Small memtables are quick to insert into, which is half of what a claim
    # costs; four of them become one file, as if they were large.
    options.set_write_buffer_size(4 * MIB)
    options.set_min_write_buffer_number_to_merge(4)
    options.set_max_write_buffer_number(10)
    # The same question to a memtable, without a search: less than half the time.
    options.set_memtable_prefix_bloom_ratio(0.1)
    options.set_memtable_whole_key_filtering(True)
    options.set_max_total_wal_size(128 * MIB)
    options.set_max_background_jobs(2)
    options.set_compression_type(DBCompressionType.lz4())
    # Claims and timers come and go: files that are mostly tombstones are
    # compacted early, so that a scan does not have to wade through them.
    options.add_compact_on_deletion_collector_factory(1024, 512, 0.5)
    # A torn last record was never acknowledged; a wrong checksum is an error.
    # ``point_in_time`` would drop all that follows it. See also ``wal.py``.
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_keep_log_file_num(4)
    options.set_max_log_file_size(8 * MIB)
    return options
