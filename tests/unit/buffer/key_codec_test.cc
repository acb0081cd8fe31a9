#include "pgrecast/buffer/key_codec.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pgrecast {
namespace {

std::string encoded(ColumnForm form, std::string_view text) {
  std::string out;
  KeyCodec({form}).encode(std::vector{text}, out);
  return out;
}

// Every text decodes to itself and sorts before the next one.
void expect_ascending(ColumnForm form,
                      const std::vector<std::string_view>& texts) {
  std::string last;
  for (const std::string_view text : texts) {
    const std::string bytes = encoded(form, text);
    EXPECT_LT(last, bytes) << text;
    EXPECT_EQ(KeyCodec({form}).decode(bytes), std::vector{std::string(text)});
    last = bytes;
  }
}

TEST(KeyCodecTest, IntegersSortAsNumbers) {
  expect_ascending(ColumnForm::kInt2,
                   {"-32768", "-10", "-9", "-1", "0", "1", "9", "10", "32767"});
  expect_ascending(ColumnForm::kInt4, {"-2147483648", "-32769", "-1", "0", "2",
                                       "10", "2147483647"});
  expect_ascending(ColumnForm::kInt8,
                   {"-9223372036854775808", "-2147483649", "-1", "0", "3", "20",
                    "9223372036854775807"});
  expect_ascending(ColumnForm::kOid, {"0", "9", "2147483648", "4294967295"});
}

TEST(KeyCodecTest, UuidsSortAsTheirBytes) {
  expect_ascending(ColumnForm::kUuid, {"00000000-0000-0000-0000-000000000000",
                                       "00000000-0000-0000-0000-00000000000a",
                                       "7fffffff-0000-0000-0000-000000000000",
                                       "80000000-0000-0000-0000-000000000000",
                                       "ffffffff-ffff-ffff-ffff-ffffffffffff"});
}

TEST(KeyCodecTest, UuidInUpperCaseIsTheSameKey) {
  const std::string bytes =
      encoded(ColumnForm::kUuid, "ABCDEF01-0000-0000-0000-000000000000");

  EXPECT_EQ(KeyCodec({ColumnForm::kUuid}).decode(bytes).front(),
            "abcdef01-0000-0000-0000-000000000000");
}

TEST(KeyCodecTest, TimestampsSortByClassAndThenAsText) {
  expect_ascending(
      ColumnForm::kTimestamp,
      {"-infinity", "0044-03-15 BC", "0001-01-01", "1999-12-31 23:59:59",
       "1999-12-31 23:59:59.5", "2000-01-01", "2024-02-29 12:00:00+00",
       "9999-12-31", "10000-01-01 00:00:00", "294276-12-31 23:59:59.999999",
       "5874897-12-31", "infinity"});
}

TEST(KeyCodecTest, RawTextSortsBeforeItsContinuations) {
  using std::string_view_literals::operator""sv;
  expect_ascending(ColumnForm::kRaw,
                   {""sv, "\0"sv, "\0\0"sv, "\0a"sv, "\x01"sv, "a"sv, "a\0"sv,
                    "a\0b"sv, "a\x01"sv, "ab"sv, "b"sv, "\xff"sv});
}

TEST(KeyCodecTest, CompositeKeysSortColumnByColumn) {
  const KeyCodec codec({ColumnForm::kRaw, ColumnForm::kInt4});
  std::string shorter;
  std::string longer;
  codec.encode(std::vector<std::string_view>{"a", "2147483647"}, shorter);
  codec.encode(std::vector<std::string_view>{"aa", "-5"}, longer);

  EXPECT_LT(shorter, longer);
  EXPECT_EQ(codec.decode(longer), (std::vector<std::string>{"aa", "-5"}));
}

TEST(KeyCodecTest, TextThatIsNoValueIsRejected) {
  for (const std::string_view text : {"", "32768", "-32769", "1 ", "+1", "x"}) {
    EXPECT_THROW(encoded(ColumnForm::kInt2, text), ProtocolError) << text;
  }
  EXPECT_THROW(encoded(ColumnForm::kOid, "-1"), ProtocolError);
  for (const std::string_view text : {"", "00000000-0000-0000-0000-00000000000",
                                      "00000000-0000-0000-0000-00000000000g",
                                      "00000000x0000-0000-0000-000000000000"}) {
    EXPECT_THROW(encoded(ColumnForm::kUuid, text), ProtocolError) << text;
  }
  for (const std::string_view text :
       {"", "now", "01/02/2003", "2003-1-2", "2003-01-02x", "200-01-01",
        "12345678-01-01"}) {
    EXPECT_THROW(encoded(ColumnForm::kTimestamp, text), ProtocolError) << text;
  }
}

TEST(KeyCodecTest, EncodingDoesNotAllocateOnceThereIsRoom) {
  const KeyCodec codec({ColumnForm::kInt8, ColumnForm::kRaw});
  std::string out;
  out.reserve(100);
  const char* const before = out.data();

  codec.encode(std::vector<std::string_view>{"-77", "some text"}, out);

  EXPECT_EQ(out.data(), before);
}

TEST(KeyCodecTest, BytesThatAreNoKeyAreRejected) {
  const KeyCodec codec({ColumnForm::kInt4, ColumnForm::kRaw});
  std::string bytes;
  codec.encode(std::vector<std::string_view>{"1", "text"}, bytes);

  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW(codec.decode(bytes.substr(0, length)), ProtocolError);
  }
  EXPECT_THROW(codec.decode(bytes + "x"), ProtocolError);
}

}  // namespace
}  // namespace pgrecast
