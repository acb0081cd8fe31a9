#include "pgrecast/pgoutput/relation_cache.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <utility>

namespace pgrecast::pgoutput {

KnownRelation KnownRelation::of(const Relation& message) {
  KnownRelation relation;
  relation.oid = message.oid;
  relation.schema = message.schema.empty() ? "pg_catalog" : message.schema;
  relation.name = message.name;
  relation.replica_identity = message.replica_identity;
  relation.columns.reserve(message.columns.size());
  for (const RelationColumn& column : message.columns) {
    relation.columns.push_back(
        {.in_replica_identity = column.in_replica_identity,
         .name = std::string(column.name),
         .type_oid = column.type_oid,
         .type_modifier = column.type_modifier});
  }
  return relation;
}

std::string KnownRelation::qualified_name() const {
  return schema + '.' + name;
}

void KnownRelation::too_many_columns(const Tuple& tuple) const {
  throw ProtocolError(fmt::format(
      "the server described {} with {} columns and sent a row of {} "
      "(PostgreSQL 15.0 and 15.1 do so under a column list: update the server)",
      qualified_name(), columns.size(), tuple.columns.size()));
}

RelationCache::Put RelationCache::put(const Relation& message) {
  KnownRelation relation = KnownRelation::of(message);
  const auto [known, inserted] = relations_.try_emplace(message.oid);
  if (!inserted && known->second == relation) return Put::kSame;
  known->second = std::move(relation);
  return inserted ? Put::kNew : Put::kChanged;
}

const KnownRelation& RelationCache::find(std::uint32_t oid) const {
  const auto found = relations_.find(oid);
  if (found == relations_.end()) {
    throw ProtocolError(fmt::format(
        "the server sent a change of relation {}, which it did not describe",
        oid));
  }
  return found->second;
}

}  // namespace pgrecast::pgoutput
