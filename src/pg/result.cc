#include "pgrecast/pg/result.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"

#include <libpq-fe.h>

namespace pgrecast::pg {
namespace {

std::string field(const PGresult* result, int code) {
  const char* value = PQresultErrorField(result, code);
  return value == nullptr ? "" : value;
}

std::size_t position_in_statement(const PGresult* result) {
  const std::string text = field(result, PG_DIAG_STATEMENT_POSITION);
  std::size_t position = 0;
  std::from_chars(text.data(), text.data() + text.size(), position);
  return position;
}

}  // namespace

std::string_view statement_shown(std::string_view statement) {
  constexpr std::size_t kBytesShown = 200;
  return utf8_prefix(statement, kBytesShown);
}

void Result::Clear::operator()(pg_result* native) const noexcept {
  PQclear(native);
}

Result::Result(pg_result* native) : native_(native) {}

int Result::rows() const {
  return PQntuples(native_.get());
}

int Result::columns() const {
  return PQnfields(native_.get());
}

bool Result::is_null(int row, int column) const {
  PGRECAST_ASSERT(row >= 0 && row < rows(), "row={} rows={}", row, rows());
  PGRECAST_ASSERT(column >= 0 && column < columns(), "column={} columns={}",
                  column, columns());
  return PQgetisnull(native_.get(), row, column) != 0;
}

std::string_view Result::text(int row, int column) const {
  if (is_null(row, column)) return {};
  return {PQgetvalue(native_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(native_.get(), row, column))};
}

std::optional<std::string> Result::optional_text(int row, int column) const {
  if (is_null(row, column)) return std::nullopt;
  return std::string(text(row, column));
}

bool Result::boolean(int row, int column) const {
  return text(row, column) == "t";
}

long long Result::affected() const {
  const std::string_view count = PQcmdTuples(native_.get());
  long long number = 0;
  std::from_chars(count.data(), count.data() + count.size(), number);
  return number;
}

std::string_view Result::sqlstate() const {
  const char* value = PQresultErrorField(native_.get(), PG_DIAG_SQLSTATE);
  return value == nullptr ? "" : value;
}

void Result::throw_if_error(std::string_view statement) const {
  if (PQresultStatus(native_.get()) != PGRES_FATAL_ERROR) return;
  throw SqlError({.sqlstate = field(native_.get(), PG_DIAG_SQLSTATE),
                  .message = field(native_.get(), PG_DIAG_MESSAGE_PRIMARY),
                  .detail = field(native_.get(), PG_DIAG_MESSAGE_DETAIL),
                  .hint = field(native_.get(), PG_DIAG_MESSAGE_HINT),
                  .constraint = field(native_.get(), PG_DIAG_CONSTRAINT_NAME),
                  .statement = std::string(statement_shown(statement)),
                  .position = position_in_statement(native_.get())});
}

std::string_view Result::command_tag() const {
  return PQcmdStatus(native_.get());
}

}  // namespace pgrecast::pg
