#include "pgrecast/cli/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace pgrecast::cli {
namespace {

using migration::Phase;
using migration::ProgressData;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const Clock::time_point kStart = Clock::now();

// A table of 1,000,000 rows in 10,000 blocks.
ProgressData copying(std::int64_t blocks_copied) {
  ProgressData data;
  data.migration = "orders";
  data.phase = Phase::kCopying;
  data.phase_began = kStart;
  data.tables.push_back({.name = "public.orders",
                         .blocks = 10000,
                         .blocks_copied = blocks_copied,
                         .rows_copied = blocks_copied * 100,
                         .rows_verified = 0,
                         .rows_estimate = 1000000});
  data.dirty_keys = 12345;
  data.lag_bytes = std::int64_t{3} * 1024 * 1024;
  return data;
}

ProgressData verifying(std::uint64_t rows_verified) {
  ProgressData data = copying(10000);
  data.phase = Phase::kVerifying;
  data.tables[0].rows_verified = rows_verified;
  return data;
}

TEST(PaceMeter, EstimatesFromWhatThisProcessDid) {
  // A resumed copy begins at 90 %: once it was taken for fast, and the ETA
  // grew from 0 as it went on.
  PaceMeter meter;
  EXPECT_FALSE(meter.measure(copying(9000), kStart).left_s);
  const Pace pace = meter.measure(copying(9100), kStart + seconds(10));
  EXPECT_NEAR(pace.done.value(), 0.91, 1e-9);
  EXPECT_NEAR(pace.rows_per_s.value(), 1000, 1e-6);
  EXPECT_NEAR(pace.left_s.value(), 90, 1e-6);
}

TEST(PaceMeter, SaysNothingBeforeItHasSeenTwoSeconds) {
  PaceMeter meter;
  meter.measure(copying(0), kStart);
  const Pace early = meter.measure(copying(500), kStart + milliseconds(1900));
  EXPECT_FALSE(early.left_s);
  EXPECT_FALSE(early.rows_per_s);
  EXPECT_TRUE(meter.measure(copying(600), kStart + seconds(2)).left_s);
}

TEST(PaceMeter, ForgetsASlowBeginning) {
  PaceMeter meter;
  std::int64_t blocks = 0;
  Pace pace;
  for (int second = 0; second <= 120; ++second) {
    blocks += second < 60 ? 1 : 50;
    pace = meter.measure(copying(blocks), kStart + seconds(second));
  }
  EXPECT_NEAR(pace.rows_per_s.value(), 5000, 300);
}

TEST(PaceMeter, DoesNotJumpWithOneSlowChunk) {
  PaceMeter meter;
  std::int64_t blocks = 0;
  double before = 0;
  for (int second = 0; second <= 60; ++second) {
    if (second != 50) blocks += 100;
    const Pace pace = meter.measure(copying(blocks), kStart + seconds(second));
    if (!pace.left_s) continue;
    // One second goes by, and one of twenty was lost.
    if (before > 0) {
      EXPECT_NEAR(*pace.left_s, before - 1, 0.1 * before + 1);
    }
    before = *pace.left_s;
  }
}

TEST(PaceMeter, BeginsAnewWithAnotherPhaseOrPass) {
  PaceMeter meter;
  meter.measure(copying(0), kStart);
  EXPECT_TRUE(meter.measure(copying(10000), kStart + seconds(30)).rows_per_s);
  EXPECT_FALSE(meter.measure(verifying(0), kStart + seconds(31)).rows_per_s);
  EXPECT_TRUE(meter.measure(verifying(900000), kStart + seconds(40)).left_s);
  EXPECT_FALSE(meter.measure(verifying(5000), kStart + seconds(41)).left_s);
}

TEST(PaceMeter, HasNoEstimateWhileNothingMoves) {
  PaceMeter meter;
  meter.measure(copying(100), kStart);
  const Pace pace = meter.measure(copying(100), kStart + seconds(60));
  EXPECT_FALSE(pace.left_s);
  EXPECT_EQ(pace.rows_per_s, 0);
}

TEST(PaceMeter, TakesTheEstimateWhereTheCopyIsLongOver) {
  ProgressData data = verifying(250000);
  data.tables[0].rows_copied = 0;
  EXPECT_NEAR(PaceMeter().measure(data, kStart).done.value(), 0.25, 1e-9);
  data.tables[0].rows_estimate = -1;  // never analyzed
  EXPECT_FALSE(PaceMeter().measure(data, kStart).done);
}

Pace pace_of(const ProgressData& earlier, const ProgressData& now) {
  PaceMeter meter;
  meter.measure(earlier, kStart);
  return meter.measure(now, kStart + seconds(10));
}

TEST(ProgressLine, HasBarRowsRateDirtyLagAndEta) {
  const ProgressData data = copying(5000);
  EXPECT_EQ(progress_line(data, pace_of(copying(4000), data), 79),
            "copying   [====     ]  50%  500k rows 10.0k/s dirty 12.3k "
            "lag  3.0MB ETA    50s");
}

TEST(ProgressLine, KeepsEachFigureInItsColumns) {
  ProgressData data = copying(5000);
  const std::string line = progress_line(data, Pace{}, 79);
  data.dirty_keys = 3;
  data.lag_bytes = 0;
  const std::string other = progress_line(data, Pace{}, 79);
  EXPECT_EQ(line.size(), other.size());
  EXPECT_EQ(line.find(" lag "), other.find(" lag "));
  const std::string with_bar =
      progress_line(data, pace_of(copying(4900), data), 79);
  const Pace full = pace_of(copying(1), copying(9999));
  EXPECT_EQ(with_bar.find(']'), progress_line(data, full, 79).find(']'));
}

TEST(ProgressLine, FitsIntoEveryWidth) {
  ProgressData data = copying(9999);
  data.lag_bytes = std::int64_t{1} << 60;
  data.dirty_keys = std::uint64_t{1} << 60;
  for (const auto& shown : {data, verifying(999999)}) {
    const Pace pace = pace_of(copying(1), shown);
    for (std::size_t columns = 1; columns < 200; ++columns) {
      EXPECT_LE(progress_line(shown, pace, columns).size(), columns);
    }
  }
}

TEST(ProgressLine, KeepsTheFiguresWhereThereIsNoRoomForTheBar) {
  const ProgressData data = copying(5000);
  const std::string line =
      progress_line(data, pace_of(copying(4000), data), 68);
  EXPECT_THAT(line, Not(HasSubstr("[")));
  EXPECT_THAT(line, EndsWith("ETA    50s"));
}

// It was cut, and the time was what was lost.
TEST(ProgressLine, KeepsTheTimeWhereThereIsNoRoomForAllFigures) {
  const ProgressData data = copying(5000);
  const Pace pace = pace_of(copying(4000), data);
  EXPECT_EQ(progress_line(data, pace, 59),
            "copying    50%  500k rows 10.0k/s lag  3.0MB ETA    50s");
  EXPECT_EQ(progress_line(data, pace, 50),
            "copying    50%  500k rows 10.0k/s ETA    50s");
}

TEST(ProgressLine, HasAFullBarAtTheEnd) {
  const ProgressData data = copying(10000);
  EXPECT_THAT(progress_line(data, pace_of(copying(4000), data), 79),
              HasSubstr("=] 100%"));
}

TEST(ProgressLine, SaysHowLongWhereItCannotSayHowFar) {
  ProgressData data = copying(10000);
  data.phase = Phase::kIndexing;
  const std::string line =
      progress_line(data, pace_of(copying(4000), data), 79);
  EXPECT_THAT(line, StartsWith("indexing "));
  EXPECT_THAT(line, Not(HasSubstr("ETA")));
  EXPECT_THAT(line, EndsWith("lag  3.0MB        10s"));
}

TEST(ProgressLine, NamesWhatIsWaitedFor) {
  ProgressData data = copying(0);
  data.phase = Phase::kPreparing;
  data.waiting_for = "older transactions to end: pid 17";
  EXPECT_EQ(
      progress_line(data, PaceMeter().measure(data, kStart + seconds(3)), 79),
      "preparing 3s, waiting for older transactions to end: pid 17");
}

TEST(ProgressValues, AreForAProgramToRead) {
  const ProgressData data = copying(5000);
  EXPECT_EQ(progress_values(data, pace_of(copying(4000), data)),
            "phase=copying percent=50 rows=500000 rows_per_s=10000 "
            "dirty_keys=12345 lag_bytes=3145728 left_s=50");
}

TEST(SummaryText, HasWhatTheMigrationDid) {
  ProgressData data = verifying(1000000);
  data.phase = Phase::kDone;
  data.phase_took = {{Phase::kCopying, milliseconds(61500)},
                     {Phase::kReady, milliseconds(400)}};
  data.rounds = 12;
  data.passes = 1;
  data.cutover_attempts = 2;
  data.lock_waited = milliseconds(7);
  data.lock_held = milliseconds(83);
  EXPECT_EQ(
      summary_text(data),
      "Migration orders is done, after 61.9 s\n"
      "  copying          61.5 s\n"
      "  ready             0.4 s\n"
      "  public.orders: 1000000 rows copied, 1000000 verified\n"
      "  rounds 12, verification passes 1, differences found 0\n"
      "  cutover attempts 2, lock waited for 7 ms, held 83 ms\n"
      "The old tables are kept; `pgrecast finish orders` removes them.\n");
}

}  // namespace
}  // namespace pgrecast::cli
