#pragma once

#include "pgrecast/base/lsn.h"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace pgrecast::pgoutput {

// Takes big-endian fields off the front of one message that came from the
// server. Checks every bound, so that no caller can forget to.
//
// The views that it returns point into the message's bytes: they live as long
// as those. Every take_ throws ProtocolError where the message ends too early
// or holds something else, naming the message by its first byte (its type, in
// both formats that are read with this), the field, and the byte's offset;
// never a value of a row.
class Reader {
 public:
  // `format` says in errors what the bytes are. Both it and the field names
  // below are literals: they cost nothing until something is wrong.
  Reader(std::string_view bytes, const char* format)
      : bytes_(bytes), format_(format) {}
  Reader(std::span<const std::byte> bytes, const char* format);

  std::size_t offset() const { return offset_; }
  std::size_t left() const { return bytes_.size() - offset_; }

  template <std::integral T>
  T take(const char* field) {
    static_assert(std::endian::native == std::endian::little,
                  "take() swaps bytes");
    if (left() < sizeof(T)) too_short(field, sizeof(T));
    T value = 0;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return swapped(value);
  }

  char take_char(const char* field) { return take<char>(field); }

  Lsn take_lsn(const char* field) { return Lsn{take<std::uint64_t>(field)}; }

  // A byte that must be 0 or 1.
  bool take_bool(const char* field);

  // Text up to a NUL, which is taken and not returned.
  std::string_view take_cstring(const char* field);

  std::string_view take_bytes(std::size_t count, const char* field) {
    if (left() < count) too_short(field, count);
    const std::string_view taken = bytes_.substr(offset_, count);
    offset_ += count;
    return taken;
  }

  // A signed number of things that follow, each of at least `bytes_each` bytes:
  // refused where negative, or where so many cannot follow, so that a caller
  // may allocate for them.
  template <std::signed_integral T>
  std::size_t take_count(const char* field, std::size_t bytes_each) {
    const T count = take<T>(field);
    if (count < 0) wrong_count(field, count, sizeof(T));
    const auto size = static_cast<std::size_t>(count);
    if (size * bytes_each > left()) wrong_count(field, count, sizeof(T));
    return size;
  }

  // Throws unless all was taken: what follows a message is a part of it that we
  // do not know.
  void expect_end() const {
    if (left() != 0) not_at_end();
  }

  // The byte that was taken last is none of those that the format allows.
  [[noreturn]] void unexpected_byte(const char* expected) const;

 private:
  template <std::integral T>
  static T swapped(T value) {
    if constexpr (sizeof(T) == 1) {
      return value;
    } else if constexpr (sizeof(T) == 2) {
      return static_cast<T>(
          __builtin_bswap16(static_cast<std::uint16_t>(value)));
    } else if constexpr (sizeof(T) == 4) {
      return static_cast<T>(
          __builtin_bswap32(static_cast<std::uint32_t>(value)));
    } else {
      static_assert(sizeof(T) == 8);
      return static_cast<T>(
          __builtin_bswap64(static_cast<std::uint64_t>(value)));
    }
  }

  [[noreturn]] void too_short(const char* field, std::size_t bytes) const;
  [[noreturn]] void wrong_count(const char* field, std::int64_t count,
                                std::size_t field_bytes) const;
  [[noreturn]] void not_at_end() const;
  [[noreturn]] void fail(std::size_t at, std::string_view problem) const;

  std::string_view bytes_;
  const char* format_;
  std::size_t offset_ = 0;
};

}  // namespace pgrecast::pgoutput
