#pragma once

#include "pgrecast/base/error.h"

#include <charconv>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pg_result;

namespace pgrecast::pg {

// The beginning of a statement, for messages.
std::string_view statement_shown(std::string_view statement);

// What the server answered. Immutable; the views live as long as the Result.
// Rows and columns count from 0 and are asserted to be in range.
class Result {
 public:
  explicit Result(pg_result* native);

  int rows() const;
  int columns() const;
  bool empty() const { return rows() == 0; }

  bool is_null(int row, int column) const;
  std::string_view text(int row, int column) const;  // "" for NULL
  std::optional<std::string> optional_text(int row, int column) const;
  bool boolean(int row, int column) const;

  // Throws ProtocolError where the value is no such number.
  template <std::integral Number>
  Number number(int row, int column) const {
    const std::string_view value = text(row, column);
    Number number{};
    const char* end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, number);
    if (value.empty() || error != std::errc{} || rest != end) {
      throw ProtocolError("the server answered '" + std::string(value) +
                          "' where a number was due");
    }
    return number;
  }

  // Rows that INSERT, UPDATE, DELETE or SELECT touched; 0 for other commands.
  long long affected() const;
  std::string_view command_tag() const;

  // Throws SqlError if this is one; `statement` is what was asked. Without a
  // SQLSTATE the error is libpq's own: the session broke.
  void throw_if_error(std::string_view statement) const;
  std::string_view sqlstate() const;

 private:
  struct Clear {
    void operator()(pg_result* native) const noexcept;
  };
  std::unique_ptr<pg_result, Clear> native_;
};

}  // namespace pgrecast::pg
