#include "pgrecast/base/assert.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/base/thread_group.h"
#include "pgrecast/pg/retry.h"
#include "pgrecast/verify/verifier.h"

#include "context.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <list>

namespace pgrecast::migration {
namespace {

// An exact round is one transaction. So many keys take it a second or so.
constexpr std::uint64_t kExactKeysMax = 50000;
// A round is short when nothing but what came during the last one is left.
constexpr std::uint64_t kShortRoundKeys = 2000;
constexpr milliseconds kShortRoundTime{500};
// A stream that lags longer than this behind a fence is broken.
constexpr auto kFenceTimeMax = std::chrono::minutes(10);
// How long rounds rest while nothing is dirty, beside verification.
constexpr milliseconds kRest{100};
constexpr std::size_t kDifferencesShown = 20;

void tell_round(Context& context, const char* kind,
                const refresh::RoundResult& round) {
  context.progress->update([&](ProgressData& data) {
    ++data.rounds;
    data.dirty_keys = context.buffer->dirty_estimate();
  });
  log::debug("refresh", "round done",
             "kind={} keys={} rows={} skipped={} "
             "took_ms={}",
             kind, round.keys, round.rows, round.skipped, round.took.count());
}

bool has_secondary_unique(const Context& context) {
  return std::ranges::any_of(context.tables,
                             [](const plan::MigratedTable& table) {
                               return table.target.has_secondary_unique();
                             });
}

refresh::RoundResult one_round(Context& context, refresh::Rounds& rounds,
                               pg::Connection& connection, bool loose) {
  const bool deletes_first =
      has_secondary_unique(context) && rule_on("one_snapshot");
  const refresh::RoundResult round = pg::retried(connection, "a round", [&] {
    return loose ? rounds.loose(connection, deletes_first)
                 : rounds.exact(connection);
  });
  tell_round(context, loose ? "loose" : "exact", round);
  return round;
}

std::string describe(const verify::Difference& difference) {
  return fmt::format("{} ({}): {}", difference.table,
                     join(difference.key, ", "), difference.what);
}

}  // namespace

bool catch_up(Context& context, bool exact_last) {
  pg::Connection& connection = context.refresh_session();
  refresh::Rounds rounds = context.make_rounds();
  bool skipped = false;
  bool all_exact = true;
  for (;;) {
    // Only then does the estimate say how much one transaction would hold.
    context.pass_fence(Deadline::in(kFenceTimeMax));
    const bool loose = (!rule_on("one_snapshot") ||
                        context.buffer->dirty_estimate() > kExactKeysMax) &&
                       !skipped;
    const refresh::RoundResult round =
        one_round(context, rounds, connection, loose);
    all_exact = all_exact && !loose;
    // What could not be written one by one can be in an exact round, however
    // long that takes.
    skipped = loose && (round.skipped > 0 || !rule_on("one_snapshot"));
    if (loose && exact_last) continue;
    if (round.keys <= kShortRoundKeys || round.took <= kShortRoundTime) {
      return all_exact;
    }
  }
}

PassResult verify_tables(Context& context) {
  std::list<verify::Pass> passes;
  for (std::size_t i = 0; i < context.tables.size(); ++i) {
    passes.emplace_back(verify::Pass::Parts{.table = &context.tables[i],
                                            .codec = &context.codecs[i],
                                            .buffer = &*context.buffer,
                                            .gate = &context.gate,
                                            .guard = &*context.guard});
  }
  std::atomic<int> working{context.options.workers};
  ThreadGroup workers(context.stop);
  for (int i = 0; i < context.options.workers; ++i) {
    workers.run([&](const std::stop_token& stop) {
      pg::Connection connection = context.open_data("verify", stop);
      verify::prefer_key_ranges(connection);
      pg::Connection fence = context.open("verify fence", stop);
      const auto pass_fence = [&](Deadline deadline) {
        context.fences->pass(fence, deadline, stop);
      };
      std::size_t index = 0;
      for (verify::Pass& pass : passes) {
        while (pg::retried(connection, "verifying a range", [&] {
          return pass.verify_next(connection, pass_fence);
        })) {
          context.progress->update([&](ProgressData& data) {
            data.tables[index].rows_verified = pass.rows();
          });
        }
        ++index;
      }
      --working;
    });
  }
  pg::Connection& connection = context.refresh_session();
  refresh::Rounds rounds = context.make_rounds();
  while (working > 0 && workers.error() == nullptr) {
    context.pass_fence(Deadline::in(kFenceTimeMax));
    one_round(context, rounds, connection,
              context.buffer->dirty_estimate() > kExactKeysMax);
    if (working > 0) connection.wait_readable(Deadline::in(kRest));
  }
  workers.join();
  PassResult result;
  for (verify::Pass& pass : passes) {
    PGRECAST_ASSERT(pass.finished(), "rows={}", pass.rows());
    result.differences += pass.difference_count();
    for (const verify::Difference& difference : pass.take_differences()) {
      if (result.shown.size() == kDifferencesShown) break;
      result.shown.push_back(describe(difference));
    }
  }
  context.progress->update([&](ProgressData& data) {
    ++data.passes;
    data.differences += result.differences;
  });
  return result;
}

}  // namespace pgrecast::migration
