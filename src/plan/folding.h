#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/plan/fold.h"

#include "script_grants.h"

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

inline constexpr const char* kKeyRemedy =
    "leave the key's columns as they are, or widen them only (for instance "
    "integer to bigint)";

// A table while the script is being folded into it.
struct Folding {
  const FoldTable* table = nullptr;
  catalog::Oid shadow_oid = 0;
  // The query so far is head + " WHERE condition" + tail; it yields the
  // columns in `live`, and the places of the source's rows. The head has a
  // hole where the source goes.
  std::string head;
  std::string tail;
  std::string ctid_column;
  std::string heap_column;
  std::vector<catalog::Column> columns;  // of the clone, now
  std::vector<catalog::Column> at_first;
  std::set<std::string> live;  // those of them that the query yields
  // Added columns whose default is evaluated anew for each row, by the shadow
  // itself: attnum, and how the column makes its values.
  std::map<int, std::string> made_anew;
  std::vector<std::pair<int, std::string>> key;  // attnum on the clone, value
  std::vector<std::string> changes;
  // CREATE TABLE named its whole shape anew; its partitions by name.
  bool recreated = false;
  std::set<std::string> partitions;
  ScriptGrants grants;
  std::size_t first_grant = 0;  // where it stands
  std::vector<catalog::QualifiedName> dropped_statistics;
  std::set<std::string> dropped_foreign_keys;
  std::vector<AddedForeignKey> added_foreign_keys;  // at the script's end
};

// The columns of the query that tell a row's place.
std::string places(const Folding& folding);

std::string source_alias(const Folding& folding);

const catalog::Column* find_attnum(const std::vector<catalog::Column>& columns,
                                   int attnum);

// `value`, an expression, as the column takes it from an assignment.
std::string assigned(const std::string& value, const catalog::Column& column);

// How a column makes its values by itself.
std::string made_by(const catalog::Column& column);

// Puts one more query around what there is.
void wrap(Folding& folding, const std::string& list, const std::string& alias,
          const std::string& where);

}  // namespace pgrecast::plan
