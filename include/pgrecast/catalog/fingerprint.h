#pragma once

#include "pgrecast/catalog/shape.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::catalog {

// What must stay the same about a source while a migration runs, since no
// change of it is in the stream. Read under a lock on the table, by a snapshot
// that was taken after the lock.
struct Fingerprint {
  // relfilenode: new after VACUUM FULL, CLUSTER, TRUNCATE and rewrites.
  std::string storage;
  // Name, columns and types, key, replica identity, our publication's entry,
  // and what the shadow was cloned with: indexes, constraints, defaults,
  // identities, options, comments. Somebody's change of those would be lost. A
  // line a part.
  std::vector<std::string> shape;
  // Of enum types in the key: the buffer knows keys by them, so none of them
  // may be renamed. New ones may come.
  std::vector<std::string> key_labels;
  // Another one after any change of them. Where none is renamed now, one may
  // have been for a while: a key that was noted then may name another row.
  std::string key_label_rows;
  // The shape as this server prints it, for another one that pg_upgrade makes
  // of it, which stores everything anew. Empty where it was not asked for.
  Facts printed;

  // Whether the table is still what this says.
  bool holds(const Fingerprint& now) const;

  bool operator==(const Fingerprint&) const = default;

  // What differs, for people: "columns: [..] is now [..]"; empty when nothing.
  std::string shape_difference(const Fingerprint& now) const;

  // The same where `now` is of a server that pg_upgrade has made. What the
  // partitions are by themselves is left out (see plan/partitions.h). Both must
  // have `printed`.
  std::string printed_difference(const Fingerprint& now) const;

  // Whether the application's own UPDATEs and DELETEs may fail now because we
  // publish the table: its replica identity, or what we publish, is another.
  bool endangers_writers(const Fingerprint& now) const;

  std::string to_json() const;
  static Fingerprint from_json(const std::string& json);
};

// Without `printed`. Throws SourceChanged when the table is gone.
Fingerprint read_fingerprint(pg::Connection& connection, Oid oid,
                             const std::string& publication);

// All of it. The caller has a lock on the table: printing takes one.
Fingerprint read_whole_fingerprint(pg::Connection& connection, Oid oid,
                                   const std::string& publication);

// A statement without parameters that answers one row, one column: true while
// the table is what `fingerprint` says. For transactions that check in passing.
std::string fingerprint_check(const Fingerprint& fingerprint, Oid oid,
                              const std::string& publication);

}  // namespace pgrecast::catalog
