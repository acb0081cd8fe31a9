#include "pgrecast/pgoutput/reader.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <string>

namespace pgrecast::pgoutput {
namespace {

// The byte as a person would look it up: 'U' (0x55).
std::string printed(char byte) {
  const auto code = static_cast<unsigned char>(byte);
  if (code > 0x20 && code < 0x7F) {
    return fmt::format("'{}' ({:#04x})", byte, code);
  }
  return fmt::format("{:#04x}", code);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are char
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Reader::Reader(std::span<const std::byte> bytes, const char* format)
    : Reader(as_text(bytes), format) {}

bool Reader::take_bool(const char* field) {
  const auto value = take<std::uint8_t>(field);
  if (value > 1) unexpected_byte(field);
  return value == 1;
}

std::string_view Reader::take_cstring(const char* field) {
  const std::string_view rest = bytes_.substr(offset_);
  const std::size_t length = rest.find('\0');
  if (length == std::string_view::npos) {
    fail(offset_, fmt::format("expected {}, found no NUL that ends it", field));
  }
  offset_ += length + 1;
  return rest.substr(0, length);
}

void Reader::unexpected_byte(const char* expected) const {
  const std::size_t at = offset_ - 1;
  fail(at, fmt::format("expected {}, found {}", expected, printed(bytes_[at])));
}

void Reader::too_short(const char* field, std::size_t bytes) const {
  fail(offset_, fmt::format("expected {} of {} bytes, {} are left", field,
                            bytes, left()));
}

void Reader::wrong_count(const char* field, std::int64_t count,
                         std::size_t field_bytes) const {
  fail(offset_ - field_bytes,
       fmt::format("expected {}, found {}, with {} bytes after it", field,
                   count, left()));
}

void Reader::not_at_end() const {
  fail(offset_, fmt::format("expected the end, {} bytes are left", left()));
}

void Reader::fail(std::size_t at, std::string_view problem) const {
  throw ProtocolError(
      fmt::format("{} {} of {} bytes, at offset {}: {}", format_,
                  bytes_.empty() ? std::string("(empty)") : printed(bytes_[0]),
                  bytes_.size(), at, problem));
}

}  // namespace pgrecast::pgoutput
