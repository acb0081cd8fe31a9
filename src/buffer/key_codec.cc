#include "pgrecast/buffer/key_codec.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace pgrecast {
namespace {

// kRaw: a zero byte of the text becomes 00 FF, and 00 01 ends the column, so
// that a text sorts before its own continuations, whatever column follows.
constexpr char kZero = '\x00';
constexpr char kEscapedZero = '\xff';
constexpr char kEnd = '\x01';

// kTimestamp: a class byte in front, so that classes sort first. A year of four
// digits is kYear, each digit more one class further (a date's year has seven
// at most). The rest is text without zero bytes, ended by one.
constexpr char kMinusInfinity = 1;
constexpr char kBeforeChrist = 2;
constexpr char kYear = 3;
constexpr std::size_t kYearDigitsMin = 4;
constexpr std::size_t kYearDigitsMax = 7;
constexpr char kInfinity = 16;

constexpr std::size_t kUuidBytes = 16;
constexpr std::string_view kHexDigits = "0123456789abcdef";

// Without the text: errors are logged, and values of rows must not be.
[[noreturn]] void no_value(std::string_view text, std::string_view what) {
  throw ProtocolError(fmt::format(
      "the text of a key column ({} bytes) is no {}", text.size(), what));
}

[[noreturn]] void damaged() {
  throw ProtocolError("bytes in the change buffer are no key of this table");
}

// Signed numbers sort as unsigned ones once the sign bit is turned over.
template <typename Int>
constexpr std::make_unsigned_t<Int> turn_sign(std::make_unsigned_t<Int> value) {
  using Bits = std::make_unsigned_t<Int>;
  if constexpr (std::is_unsigned_v<Int>) {
    return value;
  } else {
    constexpr Bits kSign =
        static_cast<Bits>(Bits{1} << (std::numeric_limits<Bits>::digits - 1));
    return static_cast<Bits>(value ^ kSign);
  }
}

template <typename Int>
void encode_integer(std::string_view text, std::string& out) {
  Int value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end) no_value(text, "integer");
  using Bits = std::make_unsigned_t<Int>;
  const Bits bits = turn_sign<Int>(static_cast<Bits>(value));
  for (std::size_t byte = sizeof(Int); byte-- > 0;) {
    out.push_back(static_cast<char>((bits >> (byte * 8)) & 0xffU));
  }
}

template <typename Int>
void decode_integer(std::string_view& bytes, std::string& out) {
  if (bytes.size() < sizeof(Int)) damaged();
  using Bits = std::make_unsigned_t<Int>;
  std::uint64_t bits = 0;
  for (const char byte : bytes.substr(0, sizeof(Int))) {
    bits = bits << 8U | static_cast<unsigned char>(byte);
  }
  bytes.remove_prefix(sizeof(Int));
  const auto value = static_cast<Int>(turn_sign<Int>(static_cast<Bits>(bits)));
  const fmt::format_int digits(value);
  out.append(digits.data(), digits.size());
}

// Where the hyphens of a uuid stand, counted in bytes before them.
constexpr bool hyphen_before(std::size_t byte) {
  return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

void encode_uuid(std::string_view text, std::string& out) {
  constexpr std::size_t kTextBytes = 36;
  if (text.size() != kTextBytes) no_value(text, "uuid");
  std::size_t at = 0;
  for (std::size_t byte = 0; byte < kUuidBytes; ++byte) {
    if (hyphen_before(byte) && text[at++] != '-') no_value(text, "uuid");
    const int high = hex_value(text[at++]);
    const int low = hex_value(text[at++]);
    if (high < 0 || low < 0) no_value(text, "uuid");
    out.push_back(static_cast<char>(high * 16 + low));
  }
}

void decode_uuid(std::string_view& bytes, std::string& out) {
  if (bytes.size() < kUuidBytes) damaged();
  for (std::size_t byte = 0; byte < kUuidBytes; ++byte) {
    if (hyphen_before(byte)) out.push_back('-');
    const auto value = static_cast<unsigned char>(bytes[byte]);
    out.push_back(kHexDigits[value >> 4U]);
    out.push_back(kHexDigits[value & 0xfU]);
  }
  bytes.remove_prefix(kUuidBytes);
}

bool is_digit(char character) {
  return character >= '0' && character <= '9';
}

// 0 for anything that does not begin with a date in DateStyle ISO.
std::size_t year_digits(std::string_view text) {
  const auto* const hyphen =
      std::find_if_not(text.begin(), text.end(), is_digit);
  const auto digits = static_cast<std::size_t>(hyphen - text.begin());
  const std::string_view rest = text.substr(digits);
  constexpr std::size_t kMonthAndDay = 6;  // "-12-31"
  const bool date = digits >= kYearDigitsMin && digits <= kYearDigitsMax &&
                    rest.size() >= kMonthAndDay && rest[0] == '-' &&
                    is_digit(rest[1]) && is_digit(rest[2]) && rest[3] == '-' &&
                    is_digit(rest[4]) && is_digit(rest[5]);
  if (!date) return 0;
  // Time of day, fraction, offset, BC: what they may be made of.
  const std::string_view tail = rest.substr(kMonthAndDay);
  if (!tail.empty() && tail.front() != ' ') return 0;
  return tail.find_first_not_of(" 0123456789:.+-BC") == std::string_view::npos
             ? digits
             : 0;
}

void encode_timestamp(std::string_view text, std::string& out) {
  if (text == "infinity") {
    out.push_back(kInfinity);
    return;
  }
  if (text == "-infinity") {
    out.push_back(kMinusInfinity);
    return;
  }
  const std::size_t digits = year_digits(text);
  if (digits == 0) no_value(text, "date or timestamp in DateStyle ISO");
  const auto longer = static_cast<char>(digits - kYearDigitsMin);
  out.push_back(text.ends_with(" BC") ? kBeforeChrist
                                      : static_cast<char>(kYear + longer));
  out.append(text);
  out.push_back(kZero);
}

void decode_timestamp(std::string_view& bytes, std::string& out) {
  if (bytes.empty()) damaged();
  const char kind = bytes.front();
  bytes.remove_prefix(1);
  if (kind == kInfinity || kind == kMinusInfinity) {
    out.append(kind == kInfinity ? "infinity" : "-infinity");
    return;
  }
  const std::size_t end = bytes.find(kZero);
  if (end == std::string_view::npos) damaged();
  out.append(bytes.substr(0, end));
  bytes.remove_prefix(end + 1);
}

void encode_raw(std::string_view text, std::string& out) {
  for (std::size_t zero = text.find(kZero); zero != std::string_view::npos;
       zero = text.find(kZero)) {
    out.append(text.substr(0, zero + 1));
    out.push_back(kEscapedZero);
    text.remove_prefix(zero + 1);
  }
  out.append(text);
  out.push_back(kZero);
  out.push_back(kEnd);
}

void decode_raw(std::string_view& bytes, std::string& out) {
  for (;;) {
    const std::size_t zero = bytes.find(kZero);
    if (zero == std::string_view::npos || zero + 1 == bytes.size()) damaged();
    const char what = bytes[zero + 1];
    if (what != kEnd && what != kEscapedZero) damaged();
    out.append(bytes.substr(0, what == kEnd ? zero : zero + 1));
    bytes.remove_prefix(zero + 2);
    if (what == kEnd) return;
  }
}

void encode_column(ColumnForm form, std::string_view text, std::string& out) {
  switch (form) {
    case ColumnForm::kInt2:
      return encode_integer<std::int16_t>(text, out);
    case ColumnForm::kInt4:
      return encode_integer<std::int32_t>(text, out);
    case ColumnForm::kInt8:
      return encode_integer<std::int64_t>(text, out);
    case ColumnForm::kOid:
      return encode_integer<std::uint32_t>(text, out);
    case ColumnForm::kUuid:
      return encode_uuid(text, out);
    case ColumnForm::kTimestamp:
      return encode_timestamp(text, out);
    case ColumnForm::kRaw:
      return encode_raw(text, out);
  }
}

void decode_column(ColumnForm form, std::string_view& bytes, std::string& out) {
  switch (form) {
    case ColumnForm::kInt2:
      return decode_integer<std::int16_t>(bytes, out);
    case ColumnForm::kInt4:
      return decode_integer<std::int32_t>(bytes, out);
    case ColumnForm::kInt8:
      return decode_integer<std::int64_t>(bytes, out);
    case ColumnForm::kOid:
      return decode_integer<std::uint32_t>(bytes, out);
    case ColumnForm::kUuid:
      return decode_uuid(bytes, out);
    case ColumnForm::kTimestamp:
      return decode_timestamp(bytes, out);
    case ColumnForm::kRaw:
      return decode_raw(bytes, out);
  }
}

}  // namespace

KeyCodec::KeyCodec(std::vector<ColumnForm> columns)
    : columns_(std::move(columns)) {
  PGRECAST_ASSERT(!columns_.empty(), "a key without columns");
}

void KeyCodec::encode(std::span<const std::string_view> texts,
                      std::string& out) const {
  PGRECAST_ASSERT(texts.size() == columns_.size(), "texts={} columns={}",
                  texts.size(), columns_.size());
  out.clear();
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    encode_column(columns_[column], texts[column], out);
  }
}

std::vector<std::string> KeyCodec::decode(std::string_view bytes) const {
  std::vector<std::string> texts;
  decode(bytes, texts);
  return texts;
}

void KeyCodec::decode(std::string_view bytes,
                      std::vector<std::string>& out) const {
  out.resize(columns_.size());
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    out[column].clear();
    decode_column(columns_[column], bytes, out[column]);
  }
  if (!bytes.empty()) damaged();
}

}  // namespace pgrecast
