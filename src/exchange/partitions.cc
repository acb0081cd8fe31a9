#include "partitions.h"

#include "pgrecast/catalog/shape.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/partitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace pgrecast::exchange {
namespace {

// Facts of `facts` that begin so.
std::pair<Inventory::const_iterator, Inventory::const_iterator> beginning(
    const Inventory& facts, const std::string& prefix) {
  const auto first = facts.lower_bound(prefix);
  auto last = first;
  while (last != facts.end() && last->first.starts_with(prefix)) ++last;
  return {first, last};
}

void expect_grants(PartitionFacts& facts) {
  for (const std::string& name : facts.in_both) {
    const std::string prefix = plan::partition_grants(name);
    const auto old = beginning(facts.before, prefix);
    facts.before.erase(old.first, old.second);
    const auto wanted = beginning(facts.retired, prefix);
    facts.before.insert(wanted.first, wanted.second);
  }
}

void expect_index_names(PartitionFacts& facts) {
  for (const auto& [fact, value] : facts.retired) {
    if (!fact.starts_with("name of index of ")) continue;
    const auto found = facts.before.find(fact);
    if (found != facts.before.end()) found->second = value;
  }
}

}  // namespace

std::vector<TreePart> read_tree(pg::Connection& connection, catalog::Oid root) {
  const pg::Result result = connection.exec(R"sql(
WITH RECURSIVE tree(oid) AS (
  SELECT c.oid FROM pg_catalog.pg_class c
  WHERE c.oid = $1::pg_catalog.oid AND c.relkind = 'p'
  UNION ALL
  SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT c.oid, n.nspname, c.relname, pg_catalog.quote_ident(c.relname)
FROM tree
JOIN pg_catalog.pg_class c ON c.oid = tree.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid <> $1::pg_catalog.oid
ORDER BY c.oid)sql",
                                            {root});
  std::vector<TreePart> tree;
  for (int row = 0; row < result.rows(); ++row) {
    tree.push_back({.oid = result.number<catalog::Oid>(row, 0),
                    .name = {.schema = std::string(result.text(row, 1)),
                             .name = std::string(result.text(row, 2))},
                    .called = std::string(result.text(row, 3))});
  }
  return tree;
}

std::vector<std::string> move_partitions(
    const plan::TableTarget& target, const std::vector<TreePart>& of_source) {
  std::vector<std::string> statements;
  for (const TreePart& part : of_source) {
    statements.push_back(
        fmt::format("ALTER TABLE {} SET SCHEMA {}", part.name.quoted(),
                    pg::quote_identifier(target.retired.schema)));
  }
  for (const plan::Partition& partition : target.partitions) {
    statements.push_back(
        fmt::format("ALTER TABLE {} SET SCHEMA {}",
                    pg::quote_qualified(target.shadow.schema, partition.name),
                    pg::quote_identifier(target.source.schema)));
  }
  return statements;
}

std::vector<std::pair<TreePart, TreePart>> partition_pairs(
    const std::vector<TreePart>& of_source,
    const std::vector<TreePart>& of_shadow) {
  std::vector<std::pair<TreePart, TreePart>> pairs;
  for (const TreePart& was : of_source) {
    for (const TreePart& now : of_shadow) {
      if (was.name.name == now.name.name) pairs.emplace_back(was, now);
    }
  }
  return pairs;
}

std::vector<std::pair<TreePart, TreePart>> pairs_with_other_grants(
    pg::Connection& connection,
    std::vector<std::pair<TreePart, TreePart>> pairs) {
  if (pairs.empty()) return pairs;
  std::vector<catalog::Oid> was;
  std::vector<catalog::Oid> now;
  for (const auto& [source, shadow] : pairs) {
    was.push_back(source.oid);
    now.push_back(shadow.oid);
  }
  const pg::Result same =
      connection.exec(R"sql(
SELECT p.was
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                pg_catalog.unnest($2::pg_catalog.oid[])) AS p(was, now)
JOIN pg_catalog.pg_class w ON w.oid = p.was
JOIN pg_catalog.pg_class n ON n.oid = p.now
WHERE COALESCE(w.relacl, pg_catalog.acldefault('r', w.relowner))::pg_catalog.text
    = COALESCE(n.relacl, pg_catalog.acldefault('r', n.relowner))::pg_catalog.text)sql",
                      {catalog::oid_array(was), catalog::oid_array(now)});
  std::set<catalog::Oid> alike;
  for (int row = 0; row < same.rows(); ++row) {
    alike.insert(same.number<catalog::Oid>(row, 0));
  }
  std::erase_if(
      pairs, [&](const auto& pair) { return alike.contains(pair.first.oid); });
  return pairs;
}

Inventory read_partition_facts(pg::Connection& connection,
                               const plan::TableTarget& target,
                               catalog::Oid root) {
  if (!target.partitioned()) return {};
  Inventory facts = plan::read_partition_facts(connection, root);
  const pg::Result schema = connection.exec(
      "SELECT pg_catalog.count(*) FROM pg_catalog.pg_partition_tree("
      "$1::pg_catalog.oid) AS t JOIN pg_catalog.pg_class c ON c.oid = t.relid"
      " JOIN pg_catalog.pg_class root ON root.oid = $1::pg_catalog.oid"
      " WHERE c.relnamespace = root.relnamespace",
      {root});
  facts["partitions beside their root"] = schema.text(0, 0);
  return facts;
}

std::vector<std::string> partition_differences(const plan::TableTarget& target,
                                               PartitionFacts facts,
                                               const Inventory& root_now) {
  if (target.key_index_is_ours) {
    for (const std::string& name : target.key_index_names()) {
      std::erase_if(facts.before, [&](const auto& fact) {
        return fact.first.ends_with(" index " + name) ||
               fact.first.starts_with(
                   fmt::format("name of index {} of ", name));
      });
    }
  }
  for (const auto& [fact, value] : facts.now) {
    static constexpr std::string_view kConstraint = " constraint ";
    const auto at = fact.find(kConstraint);
    if (at == std::string::npos || facts.before.contains(fact)) continue;
    const auto of_root = root_now.find(fact.substr(at + 1));
    if (of_root != root_now.end() && of_root->second == value) {
      facts.before.emplace(fact, value);
    }
  }
  expect_grants(facts);
  expect_index_names(facts);
  return exchange::differences(facts.before, facts.now);
}

}  // namespace pgrecast::exchange
