#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::plan {

// What a row of the source becomes: the one object by which copy, refresh and
// verification turn source rows into shadow rows, so that they can never
// disagree. SQL text with a hole in its innermost query; made once, when the
// script is folded, and kept with the migration.
//
// Plain values. The statements made from it name the source within the hole by
// alias(): conditions are written on that.
class SelectList {
 public:
  struct Parts {
    std::vector<std::string> insert_columns;   // of the shadow, as they are
    std::vector<std::string> compare_columns;  // the same, less volatile ones
    std::vector<std::string> compare_types;    // what each side is cast to
    std::string alias;                         // the source's, quoted
    std::string from;                          // ONLY "s"."t"
    // Heads have a hole where `from` goes: a zero byte, which no SQL text
    // holds.
    std::string rows_head, rows_tail;
    std::string compare_head, compare_tail;
    std::vector<std::string> key_expressions;  // over columns of key_alias
    std::string ctid_column;                   // quoted; see rows_to_compare()
    std::string heap_column;                   // quoted, too
  };

  SelectList() = default;
  explicit SelectList(Parts parts) : parts_(std::move(parts)) {}

  const Parts& parts() const { return parts_; }

  // "alias", for conditions on the source.
  const std::string& alias() const { return parts_.alias; }

  // ("a", "b") OVERRIDING SYSTEM VALUE: what follows INSERT INTO shadow.
  std::string insert_target() const;

  // SELECT .. of the rows to insert, from those source rows for which
  // `condition` holds. Assignment casts are left to the INSERT.
  std::string rows(std::string_view condition) const {
    return rows(condition, parts_.from);
  }
  // The same, of what `from` yields instead of the whole source: a leaf of it,
  // or a subquery with its columns, their names, and ctid and tableoid.
  std::string rows(std::string_view condition, std::string_view from) const;

  // The source with all its rows, for FROM: before AS alias().
  const std::string& from() const { return parts_.from; }

  // The same rows as the shadow has them, cast to the shadow's types: for
  // comparison. With the source row's ctid in a column named ctid_column(), and
  // in heap_column() the table that it is of, a leaf if it is partitioned.
  std::string rows_to_compare(std::string_view condition) const {
    return rows_to_compare(condition, parts_.from);
  }
  std::string rows_to_compare(std::string_view condition,
                              std::string_view from) const;
  const std::string& ctid_column() const { return parts_.ctid_column; }
  const std::string& heap_column() const { return parts_.heap_column; }

  // The shadow's side of the comparison, with the same two columns.
  std::string shadow_to_compare(std::string_view shadow,
                                std::string_view condition) const;

  // The shadow's key columns as expressions over the source's key columns,
  // which the caller provides as columns of the same names of a relation
  // called `alias`; in the key's order.
  std::vector<std::string> key_expressions(std::string_view alias) const;

  std::string to_json() const;
  static SelectList from_json(const std::string& json);

 private:
  Parts parts_;
};

}  // namespace pgrecast::plan
