#include "pgrecast/pgoutput/reader.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace pgrecast::pgoutput {
namespace {

using namespace std::string_view_literals;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ProtocolError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Reader, TakesIntegersBigEndianAndSigned) {
  Reader reader("\x01\x02\x03\xFF\xFE\x00\x00\x00\x07\x80\0\0\0\0\0\0\0"sv,
                "test");

  EXPECT_EQ(reader.take<std::uint8_t>("a"), 1);
  EXPECT_EQ(reader.take<std::int16_t>("b"), 0x0203);
  EXPECT_EQ(reader.take<std::int16_t>("c"), -2);
  EXPECT_EQ(reader.take<std::uint32_t>("d"), 7U);
  EXPECT_EQ(reader.take<std::int64_t>("e"),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(reader.left(), 0U);
  EXPECT_NO_THROW(reader.expect_end());
}

TEST(Reader, ReadsBytesAsWellAsText) {
  const std::array bytes = {std::byte{0}, std::byte{5}, std::byte{'x'}};
  Reader reader(std::span<const std::byte>(bytes), "test");

  EXPECT_EQ(reader.take<std::uint16_t>("number"), 5);
  EXPECT_EQ(reader.take_char("letter"), 'x');
}

TEST(Reader, TakesTextUpToItsNul) {
  Reader reader("public\0\0rest"sv, "test");

  EXPECT_EQ(reader.take_cstring("schema"), "public");
  EXPECT_EQ(reader.take_cstring("empty"), "");
  EXPECT_EQ(reader.take_bytes(4, "rest"), "rest");
}

TEST(Reader, SaysWhatIsMissingAndWhere) {
  EXPECT_EQ(error_of([] {
              Reader reader("Uab"sv, "test message");
              reader.take_char("type");
              reader.take<std::uint32_t>("OID");
            }),
            "test message 'U' (0x55) of 3 bytes, at offset 1: expected OID of "
            "4 bytes, 2 are left");
}

TEST(Reader, SaysWhichByteItDidNotExpect) {
  EXPECT_EQ(error_of([] {
              Reader reader("U\x07"sv, "test message");
              reader.take_char("type");
              reader.take_bool("flag 0 or 1");
            }),
            "test message 'U' (0x55) of 2 bytes, at offset 1: expected flag 0 "
            "or 1, found 0x07");
}

TEST(Reader, RefusesTextWithoutNul) {
  EXPECT_EQ(error_of([] {
              Reader("public"sv, "test message").take_cstring("schema");
            }),
            "test message 'p' (0x70) of 6 bytes, at offset 0: expected schema, "
            "found no NUL that ends it");
}

TEST(Reader, RefusesBytesThatAreLeftOver) {
  EXPECT_EQ(error_of([] { Reader("ab"sv, "test message").expect_end(); }),
            "test message 'a' (0x61) of 2 bytes, at offset 0: expected the "
            "end, 2 bytes are left");
}

TEST(Reader, RefusesCountsThatAreNegativeOrCannotFollow) {
  const auto take = [](std::string_view bytes) {
    return [bytes] {
      Reader(bytes, "test message").take_count<std::int16_t>("columns", 2);
    };
  };

  EXPECT_NO_THROW(take("\0\2abcd"sv)());
  EXPECT_EQ(error_of(take("\xFF\xFF"sv)),
            "test message 0xff of 2 bytes, at offset 0: expected columns, "
            "found -1, with 0 bytes after it");
  EXPECT_EQ(error_of(take("\0\3abcd"sv)),
            "test message 0x00 of 6 bytes, at offset 0: expected columns, "
            "found 3, with 4 bytes after it");
}

TEST(Reader, RefusesToReadFromNothing) {
  EXPECT_EQ(error_of([] { Reader(""sv, "test message").take_char("type"); }),
            "test message (empty) of 0 bytes, at offset 0: expected type of 1 "
            "bytes, 0 are left");
}

}  // namespace
}  // namespace pgrecast::pgoutput
