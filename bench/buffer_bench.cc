// How fast the receiver can note keys, disk included: the rate that a refresh
// and a busy server must stay below for the stream not to fall behind.

#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/key_codec.h"

#include "unit/buffer/buffer_fixture.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace {

using pgrecast::ChangeBuffer;
using pgrecast::ColumnForm;
using pgrecast::KeyCodec;
using pgrecast::Lsn;
using pgrecast::Xid64;

// Ten changes a transaction; a sync about every million changes, as once a
// second would be under load. A seal and sync at the end are in the time.
template <typename KeyOf>
void note_keys(benchmark::State& state, KeyOf key_of) {
  const KeyCodec codec({ColumnForm::kInt8});
  const auto count = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    const pgrecast::test::TempFolder folder;
    ChangeBuffer buffer = ChangeBuffer::create(
        folder.path() / "b", pgrecast::test::some_identity(), Lsn{1});
    std::string key;
    state.ResumeTiming();
    for (std::uint64_t i = 1; i <= count; ++i) {
      const fmt::format_int text(static_cast<std::int64_t>(key_of(i)));
      const std::string_view view(text.data(), text.size());
      codec.encode({&view, 1}, key);
      buffer.note_key(0, key, Xid64{i / 10});
      if (i % 10 == 0) buffer.commit(Lsn{i * 10}, Lsn{i * 10 + 5});
      if (i % 1000000 == 0) buffer.sync();
    }
    buffer.sync();
    state.PauseTiming();
    state.counters["disk_bytes"] = static_cast<double>(buffer.bytes_on_disk());
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(count) *
                          static_cast<std::int64_t>(state.iterations()));
}

void note_random_keys(benchmark::State& state) {
  // An odd multiplier: every key is another one.
  note_keys(state, [](std::uint64_t i) { return i * 0x9e3779b97f4a7c15; });
}

void note_sequential_keys(benchmark::State& state) {
  note_keys(state, [](std::uint64_t i) { return i; });
}

void note_ten_hot_keys(benchmark::State& state) {
  note_keys(state, [](std::uint64_t i) { return i % 10; });
}

// Reading what a round works on, after random keys.
void read_sealed_keys(benchmark::State& state) {
  const KeyCodec codec({ColumnForm::kInt8});
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const pgrecast::test::TempFolder folder;
  ChangeBuffer buffer = ChangeBuffer::create(
      folder.path() / "b", pgrecast::test::some_identity(), Lsn{1});
  std::string key;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const fmt::format_int text(
        static_cast<std::int64_t>(i * 0x9e3779b97f4a7c15));
    const std::string_view view(text.data(), text.size());
    codec.encode({&view, 1}, key);
    buffer.note_key(0, key, Xid64{i});
    if (i == count / 2) buffer.seal();
  }
  const pgrecast::SealedKeys sealed = buffer.seal();
  for (auto _ : state) {
    std::uint64_t read = 0;
    for (auto at = sealed.keys(0); at.valid(); at.next()) ++read;
    benchmark::DoNotOptimize(read);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(count) *
                          static_cast<std::int64_t>(state.iterations()));
}

constexpr std::int64_t kMillion = 1000000;

BENCHMARK(note_random_keys)
    ->Arg(1 * kMillion)
    ->Arg(20 * kMillion)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(note_sequential_keys)
    ->Arg(20 * kMillion)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(note_ten_hot_keys)
    ->Arg(20 * kMillion)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(read_sealed_keys)
    ->Arg(10 * kMillion)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
