#include "pgrecast/pgoutput/decoder.h"
#include "pgrecast/pgoutput/key_extractor.h"
#include "pgrecast/pgoutput/relation_cache.h"
#include "pgrecast/pgoutput/transport.h"

#include "support/pgoutput/encoder.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

// What the receiver spends on one change before the change buffer sees its key:
// CopyData to XLogData, to message, to relation, to keys. The budget is 300 ns:
// at a hundred thousand changes a second, 3 % of its thread.
namespace pgrecast::pgoutput {
namespace {

constexpr std::uint32_t kOid = 16384;

struct Workload {
  std::vector<RelationColumn> columns;
  std::vector<std::string> key;
  std::vector<std::string> changes;  // as CopyData

  Relation relation() const {
    return {.stream_xid = {},
            .oid = kOid,
            .schema = "public",
            .name = "orders",
            .replica_identity = ReplicaIdentity::kFull,
            .columns = columns};
  }
};

// As many different messages as stay out of the first cache level, so that
// nothing is predicted from the round before.
constexpr std::size_t kChanges = 4096;

Workload workload(std::size_t column_count, std::size_t key_size,
                  bool with_old) {
  Workload made;
  for (std::size_t i = 0; i < column_count; ++i) {
    made.columns.push_back({.in_replica_identity = true,
                            .name = "column",
                            .type_oid = 25,
                            .type_modifier = -1});
  }
  static const std::vector<std::string> names = {"k0", "k1", "k2", "k3"};
  for (std::size_t i = 0; i < key_size; ++i) {
    made.columns[i].name = names[i];
    made.key.push_back(names[i]);
  }
  for (std::size_t n = 0; n < kChanges; ++n) {
    const std::string id = std::to_string(1'000'000'000 + n * 7919);
    const std::vector<TupleColumn> row(
        column_count, {.kind = ColumnKind::kText, .value = id});
    Update update{.stream_xid = {},
                  .relation_oid = kOid,
                  .old_tuple = {},
                  .new_tuple = {.columns = row}};
    if (with_old) {
      update.old_tuple = {.kind = OldTuple::Kind::kRow,
                          .tuple = {.columns = row}};
    }
    const std::string payload = Encoder::encode(update);
    made.changes.push_back(
        Encoder::encode(CopyData(XLogData{.data_start = Lsn{n},
                                          .wal_end = Lsn{n},
                                          .sent_at_us = 1,
                                          .payload = payload})));
  }
  return made;
}

void decode_and_extract(benchmark::State& state, const Workload& work) {
  Decoder decoder;
  RelationCache relations;
  relations.put(work.relation());
  KeyExtractor extractor(relations.find(kOid), work.key);

  std::size_t next = 0;
  for ([[maybe_unused]] const auto _ : state) {
    const CopyData data = decode_copy_data(work.changes[next]);
    const Message message = decoder.decode(std::get<XLogData>(data).payload);
    const auto& update = std::get<Update>(message);
    benchmark::DoNotOptimize(&relations.find(update.relation_oid));
    for (const Key key : extractor.keys_of(update)) {
      benchmark::DoNotOptimize(key.data());
    }
    next = (next + 1) % work.changes.size();
  }
  state.SetItemsProcessed(state.iterations());
}

// With a column list the stream carries the key alone.
void update_of_one_key_column(benchmark::State& state) {
  decode_and_extract(state, workload(1, 1, false));
}
void update_of_two_key_columns(benchmark::State& state) {
  decode_and_extract(state, workload(2, 2, false));
}
// REPLICA IDENTITY FULL, where a column list is not possible.
void update_of_whole_rows_of_20_columns(benchmark::State& state) {
  decode_and_extract(state, workload(20, 1, true));
}

BENCHMARK(update_of_one_key_column);
BENCHMARK(update_of_two_key_columns);
BENCHMARK(update_of_whole_rows_of_20_columns);

}  // namespace
}  // namespace pgrecast::pgoutput
