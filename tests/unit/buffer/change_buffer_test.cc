#include "pgrecast/buffer/change_buffer.h"

#include "pgrecast/base/error.h"

#include "unit/buffer/buffer_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast {
namespace {

using test::all_keys;
using test::KeyXids;

bool forget_all(TableId /*table*/, std::string_view /*key*/, Xid64 /*xid*/) {
  return false;
}

class ChangeBufferTest : public testing::Test {
 protected:
  ChangeBuffer& buffer() { return *buffer_; }

  // One transaction that changes these keys of table 0.
  void change(std::uint64_t xid, const std::vector<std::string>& keys) {
    for (const std::string& key : keys) buffer().note_key(0, key, Xid64{xid});
    next_lsn_ += 100;
    buffer().commit(Lsn{next_lsn_}, Lsn{next_lsn_ + 10});
  }
  void reopen() {
    buffer_.reset();
    buffer_.emplace(ChangeBuffer::open(path(), test::some_identity()));
  }
  std::filesystem::path path() const { return folder_.path() / "b"; }

 private:
  test::TempFolder folder_;
  std::optional<ChangeBuffer> buffer_ =
      ChangeBuffer::create(path(), test::some_identity(), Lsn{1});
  std::uint64_t next_lsn_ = 1000;
};

TEST_F(ChangeBufferTest, LastTransactionOfAKeyCounts) {
  change(20, {"a", "b"});
  change(10, {"a"});

  const SealedKeys sealed = buffer().seal();

  EXPECT_EQ(all_keys(sealed, 0), (KeyXids{{"a", 10}, {"b", 20}}));
  EXPECT_EQ(buffer().is_dirty(0, "a"), Xid64{10});
}

TEST_F(ChangeBufferTest, LastTransactionCountsAcrossGenerations) {
  change(20, {"a", "b", "c"});
  buffer().seal();
  change(10, {"a", "d"});
  buffer().seal();
  change(30, {"b"});

  const SealedKeys sealed = buffer().seal();

  EXPECT_EQ(all_keys(sealed, 0),
            (KeyXids{{"a", 10}, {"b", 30}, {"c", 20}, {"d", 10}}));
}

TEST_F(ChangeBufferTest, WhatIsNotedAfterTheSealIsNotInTheView) {
  change(10, {"a"});
  const SealedKeys sealed = buffer().seal();
  change(11, {"a", "b"});
  buffer().sync();

  EXPECT_EQ(all_keys(sealed, 0), (KeyXids{{"a", 10}}));
  EXPECT_EQ(buffer().is_dirty(0, "a"), Xid64{11});
}

TEST_F(ChangeBufferTest, OnlyWhatTheSnapshotSeesIsForgotten) {
  change(10, {"seen", "both"});
  change(11, {"unseen", "both"});

  buffer().forget(buffer().seal(), Snapshot::parse("11:12:11"));

  EXPECT_EQ(buffer().is_dirty(0, "seen"), std::nullopt);
  EXPECT_EQ(buffer().is_dirty(0, "unseen"), Xid64{11});
  EXPECT_EQ(all_keys(buffer().seal(), 0),
            (KeyXids{{"both", 11}, {"unseen", 11}}));
}

TEST_F(ChangeBufferTest, ChangeAfterTheSealSurvivesForgetting) {
  change(10, {"a", "b"});
  SealedKeys sealed = buffer().seal();
  change(12, {"a"});

  buffer().forget(std::move(sealed), forget_all);

  EXPECT_EQ(buffer().is_dirty(0, "a"), Xid64{12});
  EXPECT_EQ(buffer().is_dirty(0, "b"), std::nullopt);
}

TEST_F(ChangeBufferTest, CarriedEntryDoesNotHideANewerChange) {
  change(20, {"a"});
  SealedKeys sealed = buffer().seal();
  change(15, {"a"});
  buffer().forget(std::move(sealed), Snapshot::parse("20:20:"));

  EXPECT_EQ(buffer().is_dirty(0, "a"), Xid64{15});
  EXPECT_EQ(all_keys(buffer().seal(), 0), (KeyXids{{"a", 15}}));
}

TEST_F(ChangeBufferTest, VetoKeepsAKeyThatTheSnapshotSees) {
  change(10, {"a", "b"});

  buffer().forget(buffer().seal(), [](TableId, std::string_view key, Xid64) {
    return key == "b";
  });

  EXPECT_EQ(all_keys(buffer().seal(), 0), (KeyXids{{"b", 10}}));
}

TEST_F(ChangeBufferTest, OwnMarkNeverShortensTheLifeOfAChange) {
  change(100, {"a", "b"});
  buffer().seal();
  buffer().note_dirty(0, "a", Xid64{});
  buffer().note_dirty(0, "c", Xid64{200});

  buffer().forget(buffer().seal(), Snapshot::parse("100:101:100"));

  EXPECT_EQ(all_keys(buffer().seal(), 0),
            (KeyXids{{"a", 100}, {"b", 100}, {"c", 200}}));
  buffer().forget(buffer().seal(), Snapshot::parse("200:200:"));
  EXPECT_EQ(buffer().is_dirty(0, "a"), std::nullopt);
  EXPECT_EQ(buffer().is_dirty(0, "c"), Xid64{200});
}

TEST_F(ChangeBufferTest, TruncateMarkStaysUntilASnapshotSeesIt) {
  buffer().note_truncate(3, Xid64{10});
  change(11, {"a"});
  SealedKeys sealed = buffer().seal();
  EXPECT_EQ(sealed.truncated(3), Xid64{10});
  EXPECT_EQ(sealed.truncated(0), std::nullopt);
  EXPECT_EQ(sealed.tables(), (std::vector<TableId>{0, 3}));
  EXPECT_EQ(sealed.count(3), 0U);

  buffer().forget(std::move(sealed), Snapshot::parse("10:10:"));
  sealed = buffer().seal();
  EXPECT_EQ(sealed.truncated(3), Xid64{10});

  buffer().forget(std::move(sealed), Snapshot::parse("11:11:"));
  sealed = buffer().seal();
  EXPECT_EQ(sealed.truncated(3), std::nullopt);
  EXPECT_EQ(sealed.tables(), (std::vector<TableId>{0}));
}

TEST_F(ChangeBufferTest, CursorStartsWhereItIsTold) {
  change(10, {"a", "b", "c"});
  buffer().seal();
  change(11, {"bb"});
  const SealedKeys sealed = buffer().seal();

  auto cursor = sealed.keys(0, "b");
  EXPECT_EQ(cursor.key(), "b");
  cursor = sealed.keys(0, std::string("b") + '\0');
  EXPECT_EQ(cursor.key(), "bb");
  EXPECT_FALSE(sealed.keys(0, "d").valid());
  EXPECT_FALSE(sealed.keys(1).valid());
}

TEST_F(ChangeBufferTest, PositionFollowsWholeTransactions) {
  change(10, {"a"});
  EXPECT_EQ(buffer().position(), Lsn{1110});
  EXPECT_EQ(buffer().durable_position(), Lsn{1});
  EXPECT_EQ(buffer().sync(), Lsn{1110});

  buffer().note_key(0, "b", Xid64{11});
  buffer().advance(Lsn{5000});
  EXPECT_EQ(buffer().sync(), Lsn{1110}) << "in the middle of a transaction";

  buffer().commit(Lsn{1200}, Lsn{1210});
  buffer().advance(Lsn{5000});
  buffer().advance(Lsn{4000});
  EXPECT_EQ(buffer().sync(), Lsn{5000});
  reopen();
  EXPECT_EQ(buffer().durable_position(), Lsn{5000});
  EXPECT_EQ(buffer().last_commit_lsn(), Lsn{1200});
}

TEST_F(ChangeBufferTest, GenerationsSurviveReopening) {
  change(10, {"a", "b"});
  buffer().forget(buffer().seal(), Snapshot::parse("10:10:"));
  change(11, {"b", "c"});
  buffer().seal();
  change(12, {"c", "d"});
  buffer().sync();

  reopen();

  EXPECT_EQ(buffer().is_dirty(0, "b"), Xid64{11});
  EXPECT_EQ(buffer().dirty_estimate(0), 4U);
  EXPECT_EQ(all_keys(buffer().seal(), 0),
            (KeyXids{{"a", 10}, {"b", 11}, {"c", 12}, {"d", 12}}));
}

TEST_F(ChangeBufferTest, ForgottenKeysStayForgottenAfterReopening) {
  for (std::uint64_t round = 0; round < 70; ++round) {
    change(10 + round, {"a", fmt::format("key {}", round)});
    buffer().forget(buffer().seal(), forget_all);
  }
  buffer().note_truncate(0, Xid64{90});
  change(91, {"z"});
  buffer().forget(buffer().seal(), forget_all);
  reopen();

  const SealedKeys sealed = buffer().seal();

  EXPECT_TRUE(sealed.empty());
  EXPECT_EQ(sealed.tables(), std::vector<TableId>{});
  EXPECT_EQ(buffer().dirty_estimate(), 0U);
}

TEST_F(ChangeBufferTest, ManyFailedRoundsLoseNothing) {
  KeyXids expected;
  for (std::uint64_t round = 0; round < 100; ++round) {
    const std::string key = fmt::format("key {}", round % 40);
    change(10 + round, {key});
    expected[key] = 10 + round;
    ASSERT_EQ(all_keys(buffer().seal(), 0), expected);
  }
}

TEST_F(ChangeBufferTest, EstimateIsCloseAndCountsHotKeysOnce) {
  constexpr std::uint64_t kKeys = 200000;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    buffer().note_key(0, fmt::format("{}", i), Xid64{5});
    if (i % 1000 == 0) {
      buffer().note_key(1, fmt::format("{}", i % 10000), Xid64{5});
      buffer().sync();
    }
    if (i % 50000 == 0) buffer().seal();
  }

  const auto estimate = static_cast<double>(buffer().dirty_estimate(0));

  EXPECT_NEAR(estimate, kKeys, 0.1 * kKeys);
  EXPECT_EQ(buffer().dirty_estimate(1), 10U);
  EXPECT_EQ(buffer().seal().count(0), kKeys);
}

// A set that grew with the number of changes would fill the disk of whoever
// has one row that everybody updates.
TEST_F(ChangeBufferTest, HotKeysStaySmallOnDisk) {
  constexpr std::uint64_t kChanges = 5000000;
  for (std::uint64_t i = 0; i < kChanges; ++i) {
    const char key = static_cast<char>('0' + i % 10);
    buffer().note_key(0, std::string_view(&key, 1), Xid64{i});
    if (i % 100000 == 0) buffer().sync();
  }
  buffer().sync();
  const SealedKeys sealed = buffer().seal();

  EXPECT_EQ(sealed.count(0), 10U);
  EXPECT_LT(buffer().bytes_on_disk(), 1000000U);
}

TEST_F(ChangeBufferTest, ForgettingManyKeysGivesTheDiskBack) {
  constexpr std::uint64_t kKeys = 4000000;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    buffer().note_key(0, fmt::format("{:016x}", i * 0x9e3779b97f4a7c15),
                      Xid64{5});
  }
  SealedKeys sealed = buffer().seal();
  const std::uint64_t full = buffer().bytes_on_disk();

  buffer().forget(std::move(sealed), forget_all);

  EXPECT_LT(buffer().bytes_on_disk(), full);
  reopen();
  EXPECT_TRUE(buffer().seal().empty());
}

// The receiver changes keys without pause while rounds seal and forget. Every
// round's snapshot sees a random part of the last transactions, so entries are
// carried over all the time, and batches are written in the middle of it.
TEST_F(ChangeBufferTest, RacingRoundsNeverLoseTheLastChangeOfAKey) {
  constexpr std::uint64_t kTransactions = 60000;
  constexpr std::uint64_t kKeys = 500;
  std::atomic<std::uint64_t> noted = 0;
  std::jthread receiver([&] {
    for (std::uint64_t xid = 1; xid <= kTransactions; ++xid) {
      for (std::uint64_t i = 0; i < 3; ++i) {
        const std::string key =
            fmt::format("{}", (xid * 7919 + i * 31) % kKeys);
        buffer().note_key(0, key, Xid64{xid});
      }
      buffer().commit(Lsn{xid * 10}, Lsn{xid * 10 + 5});
      noted = xid;
      if (xid % 500 == 0) buffer().sync();
    }
  });
  std::vector<std::uint64_t> last(kKeys, 0);
  std::uint64_t seen = 0;  // every round's snapshot sees xids up to this
  std::uint64_t rounds = 0;
  while (seen < kTransactions / 2) {
    SealedKeys sealed = buffer().seal();
    // Some of what is sealed is not seen yet.
    const std::uint64_t now = noted;
    seen = now < 20 ? 0 : now - 20;
    buffer().forget(std::move(sealed),
                    [seen](TableId, std::string_view, Xid64 xid) {
                      return xid.value > seen;
                    });
    ++rounds;
  }
  receiver.join();

  for (std::uint64_t xid = 1; xid <= kTransactions; ++xid) {
    for (std::uint64_t i = 0; i < 3; ++i) {
      last[(xid * 7919 + i * 31) % kKeys] = xid;
    }
  }
  const KeyXids dirty = all_keys(buffer().seal(), 0);
  EXPECT_GT(rounds, 3U);
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    const std::string text = fmt::format("{}", key);
    const auto entry = dirty.find(text);
    if (entry != dirty.end()) {
      EXPECT_EQ(entry->second, last[key]) << key;
    } else {
      EXPECT_LE(last[key], seen) << key;
    }
    EXPECT_EQ(buffer().is_dirty(0, text).has_value(), entry != dirty.end());
  }
}

// A lookup that reads the generations one by one must not miss an entry that
// is carried over behind its back.
TEST_F(ChangeBufferTest, LookupFindsAKeyWhileItIsCarriedOver) {
  change(50, {"kept"});
  buffer().sync();
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> lookups = 0;
  std::jthread verifier([&] {
    while (!stop) {
      EXPECT_EQ(buffer().is_dirty(0, "kept"), Xid64{50});
      buffer().note_dirty(1, "own", Xid64{60});
      ++lookups;
    }
  });

  for (std::uint64_t round = 0; round < 200 || lookups < 1000; ++round) {
    buffer().forget(buffer().seal(), Snapshot::parse("50:51:50"));
  }
  stop = true;
  verifier.join();

  EXPECT_EQ(buffer().is_dirty(1, "own"), Xid64{60});
}

}  // namespace
}  // namespace pgrecast
