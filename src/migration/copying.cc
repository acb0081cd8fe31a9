#include "pgrecast/base/log.h"
#include "pgrecast/base/thread_group.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/copy/chunker.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/pg/retry.h"

#include "context.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::migration {
namespace {

constexpr std::int64_t kBlockBytes = 8192;

// logical_decoding_work_mem, shared by the chunks that are under way at once,
// with a fifth left over for what else such a transaction writes.
std::int64_t decode_bytes_max(Context& context) {
  const auto kilobytes = context.control
                             ->exec(
                                 "SELECT setting FROM pg_catalog.pg_settings"
                                 " WHERE name = 'logical_decoding_work_mem'")
                             .number<std::int64_t>(0, 0);
  return kilobytes * 1024 / context.options.workers * 4 / 5;
}

void work(Context& context, std::size_t index, copy::Chunker& chunker,
          const std::stop_token& stop) {
  const plan::MigratedTable& table = context.tables[index];
  pg::Connection connection = context.open_data("copy", stop);
  while (const auto chunk = chunker.next()) {
    const auto begin = Clock::now();
    const std::int64_t rows = pg::retried(connection, "copying a chunk", [&] {
      return copy::copy_chunk(connection, table, *context.guard, *chunk,
                              [&](pg::Connection& session, std::int64_t count) {
                                insert_chunk(session, context.record.name,
                                             table.target.ordinal, *chunk,
                                             count);
                              });
    });
    const auto took =
        std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
    chunker.took(*chunk, rows, took);
    log::debug("copy", "chunk copied",
               "table={} first={} end={} rows={} "
               "took_ms={}",
               table.target.source.display(), chunk->first, chunk->end, rows,
               took.count());
    context.progress->update([&](ProgressData& data) {
      data.tables[index].blocks_copied += chunk->end - chunk->first;
      data.tables[index].rows_copied += rows;
      data.bytes_copied += (chunk->end - chunk->first) * kBlockBytes;
    });
  }
}

void copy_table(Context& context, std::size_t index) {
  const plan::MigratedTable& table = context.tables[index];
  const CopiedChunks copied =
      read_chunks(*context.control, context.record.name, table.target.ordinal);
  std::vector<std::int64_t> leaves;
  for (const catalog::Heap& leaf : table.leaves) leaves.push_back(leaf.blocks);
  const auto left = copy::split_at_parts(
      copy::ranges_left(context.blocks[index], copied.ranges), leaves);
  copy::Chunker chunker(left, {.decode_bytes_max = decode_bytes_max(context)});
  context.progress->update([&](ProgressData& data) {
    data.tables[index].blocks_copied =
        context.blocks[index] - chunker.blocks_left();
    data.tables[index].rows_copied = copied.rows;
  });
  ThreadGroup workers(context.stop);
  for (int i = 0; i < context.options.workers; ++i) {
    workers.run([&](const std::stop_token& stop) {
      work(context, index, chunker, stop);
    });
  }
  workers.join();
  if (context.stop.stop_requested()) throw Stopped();
}

// The source lies in another file: what was copied is void, and gone already.
void begin_again(Context& context, std::size_t index) {
  const plan::MigratedTable& table = context.tables[index];
  log::warn("copy", "copying the table again from its beginning", "table={}",
            table.target.source.display());
  context.progress->update([&](ProgressData& data) {
    data.tables[index].blocks = context.blocks[index];
  });
}

// The settling transactions look at the fingerprint again: nothing that
// happened to a source while it was copied goes unnoticed.
bool copy_and_settle(Context& context) {
  try {
    for (std::size_t i = 0; i < context.tables.size(); ++i) {
      copy_table(context, i);
    }
    if (context.record.phase == Phase::kCopying) {
      context.enter(Phase::kSettling);
    }
    pg::Connection connection = context.open_data("settle", context.stop);
    const refresh::RoundResult settled =
        pg::retried(connection, "settling",
                    [&] { return context.make_rounds().settle(connection); });
    log::info("refresh", "settled", "keys={} rows={} took_ms={}", settled.keys,
              settled.rows, settled.took.count());
    return true;
  } catch (const catalog::FingerprintMismatch&) {
    const Accepted accepted = accept_changes(context);
    if (!accepted.any()) throw;
    for (const std::size_t index : accepted.rewritten) {
      begin_again(context, index);
    }
    return false;
  }
}

}  // namespace

void copy_tables(Context& context) {
  while (!copy_and_settle(context)) {
    if (context.record.phase != Phase::kCopying) {
      context.enter(Phase::kCopying);
    }
  }
}

}  // namespace pgrecast::migration
