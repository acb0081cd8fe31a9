#pragma once

#include "pgrecast/pg/connection.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What the catalogs say of a table, read with an empty search_path, so that
// every definition is qualified. Plain values, no connection kept.
namespace pgrecast::catalog {

using Oid = std::uint32_t;

struct QualifiedName {
  std::string schema;
  std::string name;

  std::string quoted() const;   // "schema"."name", for statements
  std::string display() const;  // schema.name, for people

  bool operator==(const QualifiedName&) const = default;
};

struct Column {
  int attnum = 0;
  std::string name;
  std::string type;       // format_type with modifiers: numeric(10,2)
  std::string cast_type;  // what to cast to so that nothing is cut off: the
                          // domain's base type, without the length of
                          // varchar, char, bit and varbit, and of arrays of
                          // them (there an explicit cast would truncate, an
                          // assignment refuses)
  Oid type_oid = 0;
  Oid base_type_oid = 0;  // domains resolved
  Oid collation = 0;
  int type_modifier = -1;
  int base_modifier = -1;  // the base type's, domains resolved
  bool not_null = false;
  bool generated = false;  // GENERATED ALWAYS AS (..) STORED or VIRTUAL
  bool identity = false;   // GENERATED .. AS IDENTITY
  std::optional<std::string> default_expression;  // as the server prints it
};

// How the change buffer may keep a key column's text (buffer/key_codec.h).
enum class KeyForm { kInt2, kInt4, kInt8, kOid, kUuid, kTimestamp, kRaw };

struct KeyColumn {
  std::string name;
  int attnum = 0;
  // Of parameters: the column's, without modifiers and with domains resolved.
  // A domain's check may be NOT VALID, and keys that break it must be found.
  std::string type;
  // The key index's own operators, as OPERATOR(pg_catalog.=).
  std::string equals;
  std::string less;
  std::string less_equal;
  std::string greater;
  KeyForm form = KeyForm::kRaw;
  // Equal values are equal bytes. Not so for numeric (1.0 and 1.00), citext,
  // nondeterministic collations and whatever is not known to be.
  bool one_form = false;
};

struct Key {
  Oid index = 0;
  std::string index_name;
  bool replica_identity_full = false;
  std::vector<KeyColumn> columns;  // in the index's order

  bool one_form() const;
};

// Where rows lie: an ordinary table, or a leaf of a partitioned one.
struct Heap {
  Oid oid = 0;
  QualifiedName name;
  std::int64_t blocks = 0;  // of the main fork
};

struct Table {
  Oid oid = 0;
  QualifiedName name;
  std::string owner;
  char kind = 'r';         // pg_class.relkind
  char persistence = 'p';  // pg_class.relpersistence
  char replica_identity = 'd';
  bool is_partition = false;
  Oid parent = 0;            // of which it is a partition
  bool inherits = false;     // from other tables, without being a partition
  bool is_parent = false;    // other tables, not partitions, inherit from it
  double rows_estimate = 0;  // pg_class.reltuples, 0 where unknown
  std::int64_t bytes = 0;    // heap and TOAST, without indexes; of all leaves
  std::vector<Column> columns;
  std::optional<Key> key;   // none: nothing usable, or not this kind of table
  std::string key_problem;  // why there is none

  const Column* column(std::string_view column_name) const;
  bool partitioned() const { return kind == 'p'; }
  // A partition that holds rows.
  bool is_leaf() const { return is_partition && !partitioned(); }
  // The table with all its rows, for FROM and LOCK TABLE: ONLY "s"."t", or the
  // partitioned one.
  std::string whole() const;
};

// The OID of a name as the server resolves it: `schema`, or the session's
// search_path. nullopt where there is no such relation.
std::optional<Oid> find_relation(pg::Connection& connection,
                                 const std::optional<std::string>& schema,
                                 const std::string& name);

Table read_table(pg::Connection& connection, Oid oid);
std::vector<Column> read_columns(pg::Connection& connection, Oid oid);

// Blocks of the main fork: what a copy has to read.
std::int64_t count_blocks(pg::Connection& connection, Oid oid);

// The leaves of a partitioned table, in the order of their OIDs. The caller
// holds a lock on all of them.
std::vector<Heap> read_leaves(pg::Connection& connection, Oid root);

}  // namespace pgrecast::catalog
