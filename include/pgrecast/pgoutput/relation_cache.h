#pragma once

#include "pgrecast/pgoutput/messages.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgrecast::pgoutput {

// What a Relation message said, kept beyond it.
struct KnownRelation {
  struct Column {
    bool in_replica_identity = false;
    std::string name;
    std::uint32_t type_oid = 0;
    std::int32_t type_modifier = 0;

    bool operator==(const Column&) const = default;
  };

  std::uint32_t oid = 0;
  std::string schema;
  std::string name;
  ReplicaIdentity replica_identity = ReplicaIdentity::kDefault;
  std::vector<Column> columns;

  static KnownRelation of(const Relation& message);

  // For messages to people: not quoted.
  std::string qualified_name() const;

  // Throws ProtocolError for a tuple with more columns than the relation: then
  // no position can be trusted. (PostgreSQL 15.0 and 15.1 send such under a
  // column list.)
  void check_columns(const Tuple& tuple) const {
    if (tuple.columns.size() > columns.size()) too_many_columns(tuple);
  }

  bool operator==(const KnownRelation&) const = default;

 private:
  [[noreturn]] void too_many_columns(const Tuple& tuple) const;
};

// The relations that one stream has described so far, by OID: names change
// hands while a stream runs, and two relations of one name may both be in it.
//
// Belongs to the thread of the Decoder, and to one START_REPLICATION: the
// server describes every relation again on the next.
class RelationCache {
 public:
  enum class Put {
    kNew,
    kSame,     // sent again after an invalidation (ALTER of something else,
               // CREATE INDEX, VACUUM FULL ..): no change of the schema
    kChanged,  // anything that was derived from the old one is void
  };

  Put put(const Relation& message);

  // For the relation of a row change or a TRUNCATE. Throws ProtocolError where
  // the server did not describe it before. The reference holds until the cache
  // goes; what it shows changes with a put() of the same OID.
  const KnownRelation& find(std::uint32_t oid) const;

 private:
  std::unordered_map<std::uint32_t, KnownRelation> relations_;
};

}  // namespace pgrecast::pgoutput
