#include "pgrecast/pgoutput/decoder.h"

#include "pgrecast/base/error.h"

#include "support/pgoutput/encoder.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgrecast::pgoutput {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// One message of each kind, in an order that a stream could have; where a
// message differs inside a stream block, twice.
class DecoderTest : public testing::Test {
 protected:
  std::vector<Message> every_message() const {
    const Tuple row{.columns = row_};
    const Tuple key{.columns = key_};
    const OldTuple old_key{.kind = OldTuple::Kind::kKey, .tuple = key};
    const OldTuple old_row{.kind = OldTuple::Kind::kRow, .tuple = row};
    std::vector<Message> messages = {
        Begin{.final_lsn = Lsn{1}, .commit_time_us = 2, .xid = 3},
        Origin{.commit_lsn = Lsn{4}, .name = "elsewhere"},
    };
    const auto add_changes = [&](std::optional<std::uint32_t> xid) {
      messages.insert(
          messages.end(),
          {Type{.stream_xid = xid, .oid = 9, .schema = "app", .name = "mood"},
           Relation{.stream_xid = xid,
                    .oid = 5,
                    .schema = "app",
                    .name = "orders",
                    .replica_identity = ReplicaIdentity::kIndex,
                    .columns = relation_columns_},
           Insert{.stream_xid = xid, .relation_oid = 5, .new_tuple = row},
           Update{.stream_xid = xid,
                  .relation_oid = 5,
                  .old_tuple = {},
                  .new_tuple = row},
           Update{.stream_xid = xid,
                  .relation_oid = 5,
                  .old_tuple = old_key,
                  .new_tuple = row},
           Delete{.stream_xid = xid, .relation_oid = 5, .old_tuple = old_row},
           Truncate{.stream_xid = xid,
                    .cascade = true,
                    .restart_identity = false,
                    .relation_oids = oids_},
           LogicalMessage{.stream_xid = xid,
                          .transactional = true,
                          .lsn = Lsn{7},
                          .prefix = "pgrecast",
                          .content = "a\0b"sv}});
    };
    add_changes(std::nullopt);
    messages.emplace_back(
        Commit{.commit_lsn = Lsn{1}, .end_lsn = Lsn{2}, .commit_time_us = 3});
    messages.emplace_back(StreamStart{.xid = 700, .first_segment = true});
    add_changes(701);
    messages.emplace_back(StreamStop{});
    messages.emplace_back(StreamAbort{.xid = 700, .subxid = 701, .at = {}});
    messages.emplace_back(StreamAbort{
        .xid = 700,
        .subxid = 702,
        .at = StreamAbort::At{.abort_lsn = Lsn{8}, .abort_time_us = 9}});
    messages.emplace_back(StreamCommit{.xid = 700,
                                       .commit_lsn = Lsn{1},
                                       .end_lsn = Lsn{2},
                                       .commit_time_us = 3});
    return messages;
  }

  Decoder decoder_;

 private:
  std::vector<TupleColumn> row_ = {
      {.kind = ColumnKind::kText, .value = "1"},
      {.kind = ColumnKind::kUnchangedToast, .value = {}},
      {.kind = ColumnKind::kBinary, .value = "\0\1"sv},
      {.kind = ColumnKind::kNull, .value = {}}};
  std::vector<TupleColumn> key_ = {
      {.kind = ColumnKind::kText, .value = "2"}, {}, {}, {}};
  std::vector<RelationColumn> relation_columns_ = {
      {.in_replica_identity = true,
       .name = "id",
       .type_oid = 20,
       .type_modifier = -1},
      {.in_replica_identity = false,
       .name = "note",
       .type_oid = 1043,
       .type_modifier = 14}};
  std::vector<std::uint32_t> oids_ = {5, 6};
};

TEST_F(DecoderTest, DecodesEveryMessage) {
  for (const Message& message : every_message()) {
    const std::string payload = Encoder::encode(message);
    SCOPED_TRACE(payload.substr(0, 1));
    EXPECT_EQ(decoder_.decode(payload), message);
  }
}

TEST_F(DecoderTest, RefusesEveryMessageThatIsCutShort) {
  for (const Message& message : every_message()) {
    const std::string payload = Encoder::encode(message);
    SCOPED_TRACE(payload.substr(0, 1));
    const auto* abort = std::get_if<StreamAbort>(&message);
    for (std::size_t size = 0; size < payload.size(); ++size) {
      // Without its two last fields it is an abort as `streaming 'on'` has it.
      if (abort != nullptr && size == 9) continue;
      EXPECT_THROW(decoder_.decode(payload.substr(0, size)), ProtocolError)
          << "cut at " << size;
    }
    decoder_.decode(payload);
  }
}

TEST_F(DecoderTest, RefusesEveryMessageWithAByteTooMany) {
  for (const Message& message : every_message()) {
    const std::string payload = Encoder::encode(message);
    SCOPED_TRACE(payload.substr(0, 1));
    EXPECT_THROW(decoder_.decode(payload + '\0'), ProtocolError);
    decoder_.decode(payload);
  }
}

TEST_F(DecoderTest, DecodesAnUpdateOfAKeyAsTheServerSentIt) {
  // UPDATE app.orders SET id = 2 WHERE id = 1, PostgreSQL 15.
  const Message message = decoder_.decode(
      "U\0\0\x40\x06K\0\4t\0\0\0\1"
      "1nnnN\0\4t\0\0\0\1"
      "2t\0\0\0\3twot\0\0\0\2okt\0\0\0\3"
      "1.0"sv);

  const auto& update = std::get<Update>(message);
  EXPECT_EQ(update.relation_oid, 16390U);
  ASSERT_TRUE(update.old_tuple.has_value());
  EXPECT_EQ(update.old_tuple->kind, OldTuple::Kind::kKey);
  EXPECT_EQ(update.old_tuple->tuple.columns[0].value, "1");
  EXPECT_EQ(update.old_tuple->tuple.columns[1].kind, ColumnKind::kNull);
  ASSERT_EQ(update.new_tuple.columns.size(), 4U);
  EXPECT_EQ(update.new_tuple.columns[0].value, "2");
  EXPECT_EQ(update.new_tuple.columns[3].value, "1.0");
}

TEST_F(DecoderTest, CopiesNothing) {
  const std::string payload = "I\0\0\0\5N\0\1t\0\0\0\5value"s;

  const Message message = decoder_.decode(payload);

  const std::string_view value =
      std::get<Insert>(message).new_tuple.columns[0].value;
  EXPECT_EQ(value.data(), payload.data() + payload.size() - 5);
}

TEST_F(DecoderTest, ATupleNeverShowsColumnsOfTheOneBefore) {
  decoder_.decode("I\0\0\0\5N\0\3t\0\0\0\1xt\0\0\0\1yt\0\0\0\1z"sv);

  const Message message = decoder_.decode("I\0\0\0\5N\0\2nu"sv);

  EXPECT_EQ(std::get<Insert>(message).new_tuple.columns.size(), 2U);
  EXPECT_EQ(std::get<Insert>(message).new_tuple.columns[0],
            (TupleColumn{.kind = ColumnKind::kNull, .value = {}}));
  EXPECT_EQ(std::get<Insert>(message).new_tuple.columns[1],
            (TupleColumn{.kind = ColumnKind::kUnchangedToast, .value = {}}));
}

TEST_F(DecoderTest, RefusesMessagesItDoesNotKnow) {
  for (int type = 0; type < 256; ++type) {
    const auto byte = static_cast<char>(type);
    if ("BCORYIUDTMSEcA"sv.find(byte) != std::string_view::npos) continue;
    EXPECT_THROW(decoder_.decode(std::string(1, byte)), ProtocolError) << type;
  }
  EXPECT_THROW(decoder_.decode(""), ProtocolError);
}

TEST_F(DecoderTest, SaysThatPreparedTransactionsComeFromTheSlot) {
  try {
    decoder_.decode("P");
    FAIL() << "decoded";
  } catch (const ProtocolError& error) {
    EXPECT_NE(std::string(error.what()).find("two_phase"), std::string::npos)
        << error.what();
  }
}

TEST_F(DecoderTest, RefusesFlagsItDoesNotKnow) {
  const std::string times(24, '\0');

  EXPECT_NO_THROW(decoder_.decode("C\0"s + times));
  EXPECT_THROW(decoder_.decode("C\1"s + times), ProtocolError);
  EXPECT_THROW(decoder_.decode("c\0\0\0\1\1"s + times), ProtocolError);
  EXPECT_NO_THROW(decoder_.decode("T\0\0\0\0\3"sv));
  EXPECT_THROW(decoder_.decode("T\0\0\0\0\4"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("M\2\0\0\0\0\0\0\0\1p\0\0\0\0\0"sv),
               ProtocolError);
  EXPECT_THROW(decoder_.decode("S\0\0\0\1\2"sv), ProtocolError);
  EXPECT_NO_THROW(
      decoder_.decode("R\0\0\0\1s\0r\0d\0\1\1c\0\0\0\0\1\0\0\0\1"sv));
  EXPECT_THROW(decoder_.decode("R\0\0\0\1s\0r\0d\0\1\2c\0\0\0\0\1\0\0\0\1"sv),
               ProtocolError);
  EXPECT_THROW(decoder_.decode("R\0\0\0\1s\0r\0x\0\1\1c\0\0\0\0\1\0\0\0\1"sv),
               ProtocolError);
}

TEST_F(DecoderTest, RefusesTuplesOfTheWrongKind) {
  EXPECT_THROW(decoder_.decode("I\0\0\0\5K\0\1n"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("U\0\0\0\5X\0\1n"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("U\0\0\0\5K\0\1nO\0\1n"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("D\0\0\0\5N\0\1n"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("I\0\0\0\5N\0\1x"sv), ProtocolError);
}

TEST_F(DecoderTest, RefusesNegativeCountsAndLengths) {
  EXPECT_THROW(decoder_.decode("I\0\0\0\5N\xFF\xFF"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("I\0\0\0\5N\0\1t\xFF\xFF\xFF\xFF"sv),
               ProtocolError);
  EXPECT_THROW(decoder_.decode("T\x80\0\0\0\0"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("R\0\0\0\1s\0r\0d\xFF\xFE"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("M\1\0\0\0\0\0\0\0\1p\0\xFF\xFF\xFF\xFF"sv),
               ProtocolError);
}

// Else a few bytes could make us allocate gigabytes.
TEST_F(DecoderTest, RefusesACountThatTheMessageCannotHold) {
  EXPECT_THROW(decoder_.decode("T\x7F\xFF\xFF\xFF\0"sv), ProtocolError);
  EXPECT_THROW(decoder_.decode("T\0\0\0\1\0\0\0\0"sv), ProtocolError);
}

TEST_F(DecoderTest, RefusesMessagesThatDoNotFitWhereTheyStand) {
  const std::string begin = Encoder::encode(Begin{});
  const std::string commit = Encoder::encode(Commit{});
  const std::string start = Encoder::encode(StreamStart{});

  EXPECT_THROW(decoder_.decode("E"), ProtocolError);
  decoder_.decode(start);
  for (const std::string& payload :
       {begin, commit, start, Encoder::encode(StreamCommit{}),
        Encoder::encode(StreamAbort{})}) {
    EXPECT_THROW(decoder_.decode(payload), ProtocolError) << payload[0];
  }
  decoder_.decode("E");
  EXPECT_NO_THROW(decoder_.decode(begin));
}

TEST_F(DecoderTest, AMessageThatIsRefusedDoesNotMoveTheStreamBlock) {
  EXPECT_THROW(decoder_.decode("S\0\0\0\1\1x"sv), ProtocolError);
  EXPECT_FALSE(decoder_.in_stream_block());

  decoder_.decode("S\0\0\0\1\1"sv);
  EXPECT_THROW(decoder_.decode("Ex"), ProtocolError);
  EXPECT_TRUE(decoder_.in_stream_block());
}

// Servers of version 18 were seen to send it with streaming off, because a
// subtransaction was taken for a streamed one.
TEST_F(DecoderTest, UnderstandsAStreamAbortThatNobodyAskedFor) {
  decoder_.decode(Encoder::encode(Begin{}));

  const Message message = decoder_.decode("A\0\0\0\7\0\0\0\x09"sv);

  EXPECT_EQ(message,
            Message(StreamAbort{.xid = 7, .subxid = 9, .at = std::nullopt}));
  EXPECT_NO_THROW(decoder_.decode("I\0\0\0\5N\0\1n"sv));
}

TEST_F(DecoderTest, AnOriginHasNoTransactionIdEvenInsideAStreamBlock) {
  decoder_.decode("S\0\0\0\1\1"sv);

  const Message message = decoder_.decode("O\0\0\0\0\0\0\0\1far\0"sv);

  EXPECT_EQ(message, Message(Origin{.commit_lsn = Lsn{1}, .name = "far"}));
}

}  // namespace
}  // namespace pgrecast::pgoutput
