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
// More may be committed before its fence is passed. Beyond that it is given up.
constexpr std::uint64_t kExactKeysLimit = 2 * kExactKeysMax;
// So many loose rounds in a row may leave most of their keys dirty: then their
// unique values move in every one of them, or break a constraint for good.
constexpr int kFruitlessRoundsMax = 3;
// A round is short when nothing but what came during the last one is left.
constexpr std::uint64_t kShortRoundKeys = 2000;
constexpr milliseconds kShortRoundTime{500};
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
             "violations={} given_up={} took_ms={}",
             kind, round.keys, round.rows, round.skipped, round.violations,
             round.given_up, round.took.count());
}

bool has_secondary_unique(const Context& context) {
  return std::ranges::any_of(context.tables,
                             [](const plan::MigratedTable& table) {
                               return table.target.has_secondary_unique();
                             });
}

refresh::RoundResult loose_round(Context& context, refresh::Rounds& rounds,
                                 pg::Connection& connection) {
  context.note_incomplete();
  const bool deletes_first =
      has_secondary_unique(context) && rule_on("one_snapshot");
  const refresh::RoundResult round = pg::retried(connection, "a round", [&] {
    return rounds.loose(connection, deletes_first);
  });
  tell_round(context, "loose", round);
  return round;
}

refresh::RoundResult exact_round(Context& context, refresh::Rounds& rounds,
                                 pg::Connection& connection,
                                 std::uint64_t keys_max) {
  const refresh::RoundResult round = pg::retried(connection, "a round", [&] {
    return rounds.exact(connection, keys_max);
  });
  if (!round.given_up) context.note_complete();
  tell_round(context, "exact", round);
  return round;
}

// Where changes were missed, rows may be in an exact round's way that are not
// dirty: verification has not come to them yet. A loose round leaves theirs.
refresh::RoundResult exact_round_if_it_can(Context& context,
                                           refresh::Rounds& rounds,
                                           pg::Connection& connection,
                                           std::uint64_t keys_max) {
  try {
    return exact_round(context, rounds, connection, keys_max);
  } catch (const pg::SqlError& error) {
    if (!refresh::is_uniqueness_violation(error) || !changes_missed(context)) {
      throw;
    }
    log::info("refresh", "rows that verification has not seen are in the way",
              "error='{}'", error.what());
  }
  refresh::RoundResult round = loose_round(context, rounds, connection);
  round.given_up = true;
  return round;
}

bool is_fruitless(const refresh::RoundResult& loose) {
  return loose.skipped > 0 && loose.skipped >= loose.keys / 2;
}

std::string describe(const verify::Difference& difference) {
  return fmt::format("{} ({}): {}", difference.table,
                     join(difference.key, ", "), difference.what);
}

}  // namespace

bool changes_missed(Context& context) {
  return !context.record.verified &&
         must_verify(*context.control, context.record.name);
}

// What a loose round left dirty it leaves to the next one, and that to an exact
// one as soon as few enough are dirty. Only where that leads nowhere, one exact
// round takes all, however long: it gets them done, or meets the rows that
// break a constraint.
bool catch_up(Context& context, bool exact_last) {
  pg::Connection& connection = context.refresh_session();
  refresh::Rounds rounds = context.make_rounds();
  bool all_exact = true;
  bool after_loose = false;
  int fruitless = 0;
  for (;;) {
    // Only then does the estimate say how much one transaction would hold.
    context.pass_fence(Deadline::never());
    const bool at_last = fruitless >= kFruitlessRoundsMax;
    const bool many = context.buffer->dirty_estimate() > kExactKeysMax;
    const bool loose =
        rule_on("one_snapshot") ? many && !at_last : !after_loose;
    const refresh::RoundResult round =
        loose ? loose_round(context, rounds, connection)
              : exact_round_if_it_can(
                    context, rounds, connection,
                    at_last ? refresh::Rounds::kAnyNumber : kExactKeysLimit);
    const bool exact = !loose && !round.given_up;
    all_exact = all_exact && exact;
    after_loose = loose;
    fruitless = loose && is_fruitless(round) ? fruitless + 1 : 0;
    if (round.given_up && !exact_last && changes_missed(context)) return false;
    if (round.given_up || (exact_last && !exact)) continue;
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
    context.pass_fence(Deadline::never());
    if (context.buffer->dirty_estimate() > kExactKeysMax) {
      loose_round(context, rounds, connection);
    } else {
      exact_round_if_it_can(context, rounds, connection, kExactKeysLimit);
    }
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
