#include "folding.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::plan {

using catalog::Column;
using pg::quote_identifier;

std::string places(const Folding& folding) {
  return folding.ctid_column + ", " + folding.heap_column;
}

std::string source_alias(const Folding& folding) {
  return quote_identifier(folding.table->source.name.name);
}

const Column* find_attnum(const std::vector<Column>& columns, int attnum) {
  const auto found = std::ranges::find(columns, attnum, &Column::attnum);
  return found == columns.end() ? nullptr : &*found;
}

// As an UPDATE by hand assigns: what is too long is an error, unless only
// blanks need to be cut off; char(n) is filled up. (A cast to varchar(n) would
// cut anything off.) The elements of arrays are looked at where the row is put
// in.
std::string assigned(const std::string& value, const Column& column) {
  std::string cast = fmt::format("CAST({} AS {})", value, column.cast_type);
  if (column.base_modifier < 0) return cast;
  constexpr catalog::Oid kBpchar = 1042;
  constexpr catalog::Oid kVarchar = 1043;
  constexpr catalog::Oid kBit = 1560;
  constexpr catalog::Oid kVarbit = 1562;
  const char* length_check = nullptr;
  switch (column.base_type_oid) {
    case kBpchar:
      length_check = "bpchar";
      break;
    case kVarchar:
      length_check = "varchar";
      break;
    case kBit:
      length_check = "bit";
      break;
    case kVarbit:
      length_check = "varbit";
      break;
    default:
      return cast;
  }
  return fmt::format("pg_catalog.{}({}, {}, false)",
                     quote_identifier(length_check), cast,
                     column.base_modifier);
}

std::string made_by(const Column& column) {
  return column.identity ? "identity" : column.default_expression.value_or("");
}

void wrap(Folding& folding, const std::string& list, const std::string& alias,
          const std::string& where) {
  folding.head = fmt::format("SELECT {}, {} FROM ({}", list, places(folding),
                             folding.head);
  folding.tail +=
      fmt::format(") AS {}{}", alias, where.empty() ? "" : " WHERE " + where);
}

}  // namespace pgrecast::plan
