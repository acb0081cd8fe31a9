#include "pgrecast/pgoutput/transport.h"

#include "pgrecast/base/error.h"

#include "support/pgoutput/encoder.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <variant>

namespace pgrecast::pgoutput {
namespace {

using namespace std::string_view_literals;

TEST(Transport, DecodesXLogData) {
  const CopyData data = decode_copy_data(
      "w\0\0\0\x16\xB3\x74\xD8\x48\0\0\0\x16\xB3\x74\xD8\x49"
      "\0\0\0\0\0\0\0\x05"
      "Bytes"sv);

  EXPECT_EQ(data, CopyData(XLogData{.data_start = *Lsn::parse("16/B374D848"),
                                    .wal_end = *Lsn::parse("16/B374D849"),
                                    .sent_at_us = 5,
                                    .payload = "Bytes"}));
}

TEST(Transport, DecodesKeepalives) {
  const std::string_view asks =
      "k\0\0\0\x16\xB3\x74\xD8\x48\0\0\0\0\0\0\0\x05\1"sv;
  const std::string_view tells =
      "k\0\0\0\x16\xB3\x74\xD8\x48\0\0\0\0\0\0\0\x05\0"sv;
  const Lsn wal_end = *Lsn::parse("16/B374D848");

  EXPECT_EQ(decode_copy_data(asks),
            CopyData(Keepalive{
                .wal_end = wal_end, .sent_at_us = 5, .reply_requested = true}));
  EXPECT_EQ(
      decode_copy_data(tells),
      CopyData(Keepalive{
          .wal_end = wal_end, .sent_at_us = 5, .reply_requested = false}));
}

TEST(Transport, RefusesKeepalivesOfAnyOtherLength) {
  const std::string keepalive =
      Encoder::encode(CopyData(Keepalive{.wal_end = Lsn{1}}));

  for (std::size_t size = 0; size < keepalive.size(); ++size) {
    EXPECT_THROW(decode_copy_data(keepalive.substr(0, size)), ProtocolError)
        << size;
  }
  EXPECT_THROW(decode_copy_data(keepalive + '\0'), ProtocolError);
}

TEST(Transport, RefusesXLogDataThatIsCutInItsHeader) {
  const std::string data = Encoder::encode(CopyData(XLogData{}));

  for (std::size_t size = 0; size < data.size(); ++size) {
    EXPECT_THROW(decode_copy_data(data.substr(0, size)), ProtocolError) << size;
  }
}

TEST(Transport, RefusesUnknownTypesAndFlags) {
  EXPECT_THROW(decode_copy_data("x"sv), ProtocolError);
  EXPECT_THROW(decode_copy_data("k\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2"sv),
               ProtocolError);
}

TEST(Transport, EncodesAStatusUpdateOf34Bytes) {
  const std::string update =
      encode_status_update({.written = Lsn{0x0102030405060708},
                            .flushed = Lsn{2},
                            .applied = Lsn{3},
                            .client_time_us = -1,
                            .reply_requested = true});

  EXPECT_EQ(update,
            "r\1\2\3\4\5\6\7\x08"
            "\0\0\0\0\0\0\0\2"
            "\0\0\0\0\0\0\0\3"
            "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
            "\1"sv);
  EXPECT_EQ(encode_status_update({}), "r" + std::string(33, '\0'));
}

}  // namespace
}  // namespace pgrecast::pgoutput
