#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/plan/select_list.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

// An index of the shadow, built after the copy: complete statements, which
// name the shadow by its qualified name.
struct ShadowIndex {
  std::string name;
  bool unique = false;       // or an exclusion constraint
  bool from_script = false;  // the source has none of this name
  std::string create;        // CREATE INDEX ..; empty: `constraint` makes it
  std::optional<std::string> constraint;  // ALTER TABLE .. ADD CONSTRAINT ..
  std::vector<std::string> then;          // comments, statistics targets, marks
};

// A part of a partitioned shadow.
struct Partition {
  std::string name;  // in the shadow's schema
  bool leaf = true;  // holds rows; else it is partitioned itself

  bool operator==(const Partition&) const = default;
};

// What the script's GRANTs and REVOKEs come to: one entry of the access control
// list that shall be there at the end, or shall not. Everything else is as the
// source has it at the exchange.
struct ScriptGrant {
  std::string column;  // as it is called at the end; empty: the whole table
  std::string privilege;
  std::string grantee;  // empty: PUBLIC
  std::string grantor;
  bool granted = false;    // else revoked
  bool grantable = false;  // WITH GRANT OPTION

  bool operator==(const ScriptGrant&) const = default;
};

// A foreign key that the script adds. The shadow has none: its rows come and go
// as rounds bring them, and deletes from the other table would meet it. So it
// is made in the exchange, NOT VALID, and validated afterwards.
struct AddedForeignKey {
  std::string name;
  std::vector<std::string> columns;
  // At the other end, as it is called now and after the exchange.
  catalog::QualifiedName referenced;
  std::vector<std::string> referenced_columns;
  // As the server prints it with an empty search_path, without NOT VALID.
  std::string definition;
  bool validated = true;  // else the script says NOT VALID
  std::optional<std::string> comment;
  // Conditions: that a row `s` refers to a row at all, and that it is `u`.
  std::string refers;
  std::string matches;

  bool operator==(const AddedForeignKey&) const = default;
};

// One table of a migration: what it shall become, and how.
struct TableTarget {
  std::uint32_t ordinal = 0;  // also the change buffer's TableId
  catalog::QualifiedName source;
  catalog::QualifiedName shadow;   // in the migration's schema, same name
  catalog::QualifiedName retired;  // where the source goes at cutover
  SelectList select;
  // The shadow's columns that hold the source's key, in the key's order.
  std::vector<std::string> shadow_key;
  // The unique index on exactly those. `key_index_is_ours`: the target has
  // none, ours is dropped before the exchange. On a partitioned shadow ours is
  // an index on each heap, and cannot be unique over all of them.
  ShadowIndex key_index;
  bool key_index_is_ours = false;
  std::vector<ShadowIndex> indexes;  // the others
  // CHECK .. NOT VALID: they would reject old rows on insert, so they are
  // added in the exchange. Complete statements on the shadow.
  std::vector<std::string> late_constraints;
  // At every level, parents first; none: the shadow is an ordinary table.
  std::vector<Partition> partitions;
  // Of a source that is partitioned: what its partitions are (partitions.h).
  std::map<std::string, std::string> source_partitions;
  // Source columns that the script renames: old name, new name.
  std::map<std::string, std::string> renamed;
  std::vector<ScriptGrant> grants;
  // Statistics of the source that the script drops: they stay behind.
  std::vector<catalog::QualifiedName> dropped_statistics;
  // Foreign keys of the source that the script drops, itself or with a column
  // of theirs: they are not made again.
  std::set<std::string> dropped_foreign_keys;
  std::vector<AddedForeignKey> added_foreign_keys;
  // For people: what the script changes, a line each.
  std::vector<std::string> changes;

  bool has_secondary_unique() const;
  bool partitioned() const { return !partitions.empty(); }
  // Where the shadow's rows lie: the shadow itself, or its leaves.
  std::vector<catalog::QualifiedName> heaps() const;
  // What `key_index` makes, in the shadow's schema: one a heap where it is
  // ours.
  std::vector<std::string> key_index_names() const;
  // The shadow with all its rows, for DELETE and TRUNCATE: ONLY the table, or
  // the partitioned one.
  std::string whole_shadow() const;

  std::string to_json() const;
  static TableTarget from_json(const std::string& json);
};

}  // namespace pgrecast::plan
