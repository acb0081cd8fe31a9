#include "pgrecast/plan/leaf.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"

#include "refusals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;
using catalog::Table;

// The default partition is read under the lock where no CHECK of its own says
// that it has no row of the leaf: 8 MB of narrow rows took 8 ms.
constexpr std::int64_t kDefaultBytesMax = 8 << 20;

// $1, if it is a leaf: (what, remedy).
constexpr const char* kUnfit = R"sql(
WITH leaf AS (
  SELECT c.oid, pg_catalog.format('%s.%s', n.nspname, c.relname) AS name,
         i.inhdetachpending AS detached, p.oid AS whole, p.relispartition AS below,
         pg_catalog.format('%s.%s', pn.nspname, p.relname) AS whole_name,
         p.relowner AS owner, d.oid AS rest, d.relkind AS rest_kind,
         d.relowner AS rest_owner
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
  JOIN pg_catalog.pg_partitioned_table pt ON pt.partrelid = p.oid
  LEFT JOIN pg_catalog.pg_class d ON d.oid = pt.partdefid
  WHERE c.oid = $1::pg_catalog.oid AND c.relispartition AND c.relkind = 'r')
SELECT pg_catalog.format('%s is the default partition of %s: what it may hold changes with every other',
                         name, whole_name),
       'name the table that it is a part of'
FROM leaf WHERE rest = oid
UNION ALL
SELECT name || ' is being detached', 'ALTER TABLE .. DETACH PARTITION .. FINALIZE'
FROM leaf WHERE detached
UNION ALL
SELECT pg_catalog.format('%s is a partition of %s, which belongs to %s', name, whole_name,
                         pg_catalog.pg_get_userbyid(owner)),
       'run as a member of ' || pg_catalog.pg_get_userbyid(owner)
FROM leaf WHERE NOT pg_catalog.pg_has_role(owner, 'USAGE')
UNION ALL
SELECT pg_catalog.format('%s, the default partition of %s, must be locked, and %s',
                         pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, rest, 0),
                         whole_name,
                         CASE WHEN rest_kind IN ('r', 'p')
                              THEN 'belongs to ' || pg_catalog.pg_get_userbyid(rest_owner)
                              ELSE 'cannot be' END),
       CASE WHEN rest_kind IN ('r', 'p')
            THEN 'run as a member of ' || pg_catalog.pg_get_userbyid(rest_owner)
            ELSE 'name the table that it is a part of' END
FROM leaf WHERE rest <> oid AND (rest_kind NOT IN ('r', 'p')
  OR NOT pg_catalog.pg_has_role(rest_owner, 'USAGE'))
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, f.oid, 0)
         || ' is a foreign key ' || CASE whole WHEN f.conrelid THEN 'of' ELSE 'to' END
         || ' the whole table, which the server would check anew under the lock',
       'name the table that it is a part of; or drop it, and create it again after the migration'
FROM leaf JOIN pg_catalog.pg_constraint f
  ON f.contype = 'f' AND leaf.whole IN (f.conrelid, f.confrelid)
WHERE f.conparentid = 0 OR leaf.below
UNION ALL
SELECT pg_catalog.format('column %s of %s is an identity column of a partition', a.attname, leaf.name),
       'use a sequence of its own: DEFAULT nextval(..)'
FROM leaf JOIN pg_catalog.pg_attribute a
  ON a.attrelid = leaf.oid AND a.attidentity <> '' AND NOT a.attisdropped
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0)
         || ' has no part on ' || leaf.name
         || ', so that the server would build one under the lock',
       'create it there, and ALTER INDEX .. ATTACH PARTITION'
FROM leaf JOIN pg_catalog.pg_index i ON i.indrelid = leaf.whole
WHERE NOT EXISTS (
  SELECT FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_index own ON own.indexrelid = h.inhrelid
  WHERE h.inhparent = i.indexrelid AND own.indrelid = leaf.oid)
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0)
         || ' comes from the whole table and is not valid: the server would not attach the new partition',
       'ALTER TABLE .. VALIDATE CONSTRAINT, on the whole table; or drop it'
FROM leaf JOIN pg_catalog.pg_constraint c
  ON c.conrelid = leaf.oid AND c.contype IN ('c', 'n') AND c.coninhcount > 0
WHERE NOT c.convalidated
UNION ALL
SELECT kind.said || ' is the partition''s own and that of the whole table, which '
         'attaching it makes that of the whole table alone',
       'ALTER TABLE .. DETACH PARTITION, and ATTACH PARTITION: then it is that alone'
FROM leaf CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0)
  FROM pg_catalog.pg_constraint c
  WHERE c.conrelid = leaf.oid AND c.coninhcount > 0 AND c.conislocal
  UNION ALL
  SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, a.attnum)
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = leaf.oid AND a.attinhcount > 0 AND a.attislocal AND NOT a.attisdropped
  ) AS kind(said)
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 0)
         || CASE WHEN t.tgname <> up.tgname THEN ' has another name than that of the whole table'
                 ELSE ' is not enabled as that of the whole table is' END,
       CASE WHEN t.tgname <> up.tgname THEN 'ALTER TRIGGER .. RENAME'
            ELSE 'ALTER TABLE .. ENABLE, or DISABLE, TRIGGER' END
FROM leaf JOIN pg_catalog.pg_trigger t ON t.tgrelid = leaf.oid
JOIN pg_catalog.pg_trigger up ON up.oid = t.tgparentid
WHERE t.tgname <> up.tgname AND t.tgconstraint = 0
   -- Before 15 they are the server's own: nobody but a superuser may.
   OR t.tgisinternal AND t.tgconstraint = 0 AND t.tgenabled <> up.tgenabled
ORDER BY 1)sql";

// Indexes of table $1 that ATTACH would not tell from one another, if one of
// them belongs to an index of the whole table.
constexpr const char* kAlike = R"sql(
WITH idx AS (
  SELECT i.*, ic.relname, ic.relam, h.inhparent,
         ARRAY(SELECT o.opcfamily
               FROM pg_catalog.unnest(i.indclass::pg_catalog.oid[]) WITH ORDINALITY AS k(class, n)
               JOIN pg_catalog.pg_opclass o ON o.oid = k.class ORDER BY k.n) AS families
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = i.indexrelid
  WHERE i.indrelid = $1::pg_catalog.oid)
SELECT a.relname, b.relname
FROM idx a JOIN idx b ON a.relname < b.relname
  AND a.relam = b.relam AND a.indisunique = b.indisunique
  AND a.indkey::pg_catalog.text = b.indkey::pg_catalog.text
  AND a.indnkeyatts = b.indnkeyatts AND a.families = b.families
  AND a.indcollation::pg_catalog.text = b.indcollation::pg_catalog.text
  AND pg_catalog.pg_get_expr(a.indexprs, a.indrelid)
      IS NOT DISTINCT FROM pg_catalog.pg_get_expr(b.indexprs, b.indrelid)
  AND pg_catalog.pg_get_expr(a.indpred, a.indrelid)
      IS NOT DISTINCT FROM pg_catalog.pg_get_expr(b.indpred, b.indrelid)
WHERE a.inhparent IS NOT NULL OR b.inhparent IS NOT NULL
ORDER BY 1, 2)sql";

constexpr const char* kFacts = R"sql(
SELECT 'partition of ' || p.relname,
       pg_catalog.pg_get_expr(c.relpartbound, c.oid) || ' '
       || pg_catalog.hashtext(pg_catalog.regexp_replace(
            c.relpartbound::pg_catalog.text, ':location -?[0-9]+', '', 'g'))
       || CASE WHEN i.inhdetachpending THEN ' DETACHED' ELSE '' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
WHERE c.oid = $1 AND c.relispartition
UNION ALL
SELECT 'partition column ' || a.attname, pg_catalog.concat_ws(' ', a.attislocal, a.attinhcount)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount > 0
UNION ALL
SELECT 'partition constraint ' || c.conname,
       pg_catalog.concat_ws(' ', c.conislocal, c.coninhcount, c.connoinherit, c.convalidated)
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1 AND c.contype IN ('c', 'n') AND c.coninhcount > 0
UNION ALL
SELECT 'partition constraint of ' || up.conname,
       pg_catalog.concat_ws(' ', c.conislocal, c.coninhcount, c.contype)
FROM pg_catalog.pg_constraint c
-- Not the parts of its own foreign keys, to other partitioned tables.
JOIN pg_catalog.pg_constraint up ON up.oid = c.conparentid AND up.conrelid <> c.conrelid
WHERE c.conrelid = $1
UNION ALL
SELECT 'partition index of ' || up.relname, pg_catalog.count(*)::pg_catalog.text
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_inherits h ON h.inhrelid = i.indexrelid
JOIN pg_catalog.pg_class up ON up.oid = h.inhparent
WHERE i.indrelid = $1
GROUP BY up.relname
UNION ALL
SELECT 'partition trigger ' || t.tgname, pg_catalog.concat_ws(' ', t.tgenabled,
       pg_catalog.obj_description(t.oid, 'pg_trigger'))
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = $1 AND t.tgparentid <> 0 AND t.tgconstraint = 0
)sql";

catalog::Facts facts_without_triggers(pg::Connection& connection, Oid leaf) {
  catalog::Facts facts = catalog::facts_of(connection.exec(kFacts, {leaf}));
  std::erase_if(facts, [](const auto& fact) {
    return fact.first.starts_with("partition trigger ");
  });
  return facts;
}

std::string bound_of(pg::Connection& connection, Oid leaf) {
  return std::string(
      connection
          .exec("SELECT pg_catalog.pg_get_expr(relpartbound, oid) FROM "
                "pg_catalog.pg_class WHERE oid = $1::pg_catalog.oid",
                {leaf})
          .text(0, 0));
}

std::string attach_statement(pg::Connection& connection, Oid leaf,
                             const QualifiedName& table,
                             const QualifiedName& whole) {
  return fmt::format("ALTER TABLE {} ATTACH PARTITION {} {}", whole.quoted(),
                     table.quoted(), bound_of(connection, leaf));
}

// Of tables, in this transaction, and how many indexes the first has.
struct Work {
  std::int64_t scans = 0;
  std::int64_t scans_of_rest = 0;
  std::int64_t indexes = 0;
};

Work work_on(pg::Connection& connection, Oid shadow, Oid rest) {
  const pg::Result result = connection.exec(
      "SELECT pg_catalog.pg_stat_get_xact_numscans($1::pg_catalog.oid),"
      " pg_catalog.pg_stat_get_xact_numscans($2::pg_catalog.oid),"
      " pg_catalog.count(*) FROM pg_catalog.pg_index"
      " WHERE indrelid = $1::pg_catalog.oid",
      {shadow, rest});
  const auto number = [&](int column) {
    return result.is_null(0, column) ? std::int64_t{0}
                                     : result.number<std::int64_t>(0, column);
  };
  return {.scans = number(0), .scans_of_rest = number(1), .indexes = number(2)};
}

// Of the default partition beside `leaf`, if there is one: its size, and
// whether its own CHECKs may spare it the look at its rows.
struct Rest {
  Oid oid = 0;
  QualifiedName name;
  std::int64_t bytes = 0;
  bool heap = false;
};

std::optional<Rest> rest_beside(pg::Connection& connection, const Table& leaf) {
  const pg::Result result = connection.exec(R"sql(
SELECT d.oid, n.nspname, d.relname, d.relkind = 'r',
       (SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_relation_size(t.relid)), 0)::pg_catalog.int8
        FROM pg_catalog.pg_partition_tree(d.oid) AS t)
FROM pg_catalog.pg_partitioned_table pt
JOIN pg_catalog.pg_class d ON d.oid = pt.partdefid
JOIN pg_catalog.pg_namespace n ON n.oid = d.relnamespace
WHERE pt.partrelid = $1::pg_catalog.oid)sql",
                                            {leaf.parent});
  if (result.empty()) return std::nullopt;
  return Rest{.oid = result.number<Oid>(0, 0),
              .name = {.schema = std::string(result.text(0, 1)),
                       .name = std::string(result.text(0, 2))},
              .bytes = result.number<std::int64_t>(0, 4),
              .heap = result.boolean(0, 3)};
}

Refusal rest_is_read(pg::Connection& connection, const Table& leaf,
                     const Rest& rest) {
  const pg::Result bound = connection.exec(
      "SELECT pg_catalog.pg_get_partition_constraintdef($1::pg_catalog.oid)",
      {leaf.oid});
  return {
      .what =
          fmt::format("the default partition {} has {} MB, all of which the "
                      "server would read under the lock, to attach the new "
                      "partition",
                      rest.name.display(), rest.bytes >> 20U),
      .remedy = fmt::format(
          "let it know that no row of the other is in it: ALTER TABLE {} ADD "
          "CONSTRAINT .. CHECK (NOT {}) NOT VALID; then VALIDATE CONSTRAINT",
          rest.name.quoted(), bound.text(0, 0))};
}

class Attachment {
 public:
  Attachment(pg::Connection& connection, const Table& leaf,
             const QualifiedName& shadow, const QualifiedName& whole)
      : connection_(connection),
        leaf_(leaf),
        shadow_(shadow),
        whole_(whole),
        shadow_oid_(
            catalog::find_relation(connection, shadow.schema, shadow.name)
                .value()) {}

  std::vector<Refusal> attempt() && {
    try {
      attach();
    } catch (const pg::SqlError& error) {
      if (error.remedy() != Remedy::kFail) throw;
      refuse(fmt::format("{} cannot be attached again with its new shape: {}",
                         leaf_.name.display(), error.what()),
             "change it together with the table that it is a part of");
      return std::move(refusals_);
    }
    compare();
    return std::move(refusals_);
  }

 private:
  void exec(const std::string& statement) { connection_.exec(statement); }

  void refuse(std::string what, std::string remedy) {
    refusals_.push_back({.what = std::move(what), .remedy = std::move(remedy)});
  }

  void drop_bound() {
    exec(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", shadow_.quoted(),
                     kBoundCheck));
  }

  // The bound names its table where it is by hash: here the copy, so that the
  // server says it once more.
  void attach() {
    drop_bound();
    attach_to_copy(connection_, leaf_, shadow_, whole_);
    add_bound(connection_, shadow_oid_, shadow_);
    exec(fmt::format("ALTER TABLE {} DETACH PARTITION {}", whole_.quoted(),
                     shadow_.quoted()));
    rest_ = rest_beside(connection_, leaf_);
    const Oid copy = rest_ ? copy_rest() : 0;
    const std::string statement =
        attach_statement(connection_, leaf_.oid, shadow_, whole_);
    const Work before = work_on(connection_, shadow_oid_, copy);
    exec(statement);
    const Work after = work_on(connection_, shadow_oid_, copy);
    drop_bound();
    scanned_ = after.scans != before.scans;
    built_ = after.indexes != before.indexes;
    const bool counts =
        connection_.exec("SELECT pg_catalog.current_setting('track_counts')")
            .text(0, 0) == "on";
    rest_scanned_ = rest_ && (!counts || !rest_->heap ||
                              after.scans_of_rest != before.scans_of_rest);
  }

  // With its CHECKs, which is what the server looks at.
  Oid copy_rest() {
    if (!rest_->heap) return 0;
    const QualifiedName name = {.schema = whole_.schema,
                                .name = "pgrecast default of it"};
    create_clone(connection_, catalog::read_table(connection_, rest_->oid),
                 name);
    exec(fmt::format("ALTER TABLE {} ATTACH PARTITION {} DEFAULT",
                     whole_.quoted(), name.quoted()));
    return catalog::find_relation(connection_, name.schema, name.name).value();
  }

  void compare() {
    if (scanned_ || built_) {
      refuse(fmt::format("the server would {} under the lock to attach the new "
                         "{}",
                         scanned_ ? "read all rows" : "build an index",
                         leaf_.name.display()),
             "name the table that it is a part of");
    }
    if (rest_scanned_ && rest_->bytes > kDefaultBytesMax) {
      refusals_.push_back(rest_is_read(connection_, leaf_, *rest_));
    }
    const auto lines =
        catalog::differences(facts_without_triggers(connection_, leaf_.oid),
                             facts_without_triggers(connection_, shadow_oid_));
    if (!lines.empty()) {
      refuse(fmt::format("attached again, {} would not be the partition that "
                         "it was: {}",
                         leaf_.name.display(), join(lines, "; ")),
             "name the table that it is a part of");
    }
    const pg::Result alike = connection_.exec(kAlike, {shadow_oid_});
    for (int row = 0; row < alike.rows(); ++row) {
      refuse(fmt::format(
                 "indexes {} and {} of {} are alike, so that the server "
                 "may take either for that of the whole table",
                 alike.text(row, 0), alike.text(row, 1), leaf_.name.display()),
             "drop one of them");
    }
  }

  pg::Connection& connection_;
  const Table& leaf_;
  const QualifiedName& shadow_;
  const QualifiedName& whole_;
  Oid shadow_oid_;
  std::optional<Rest> rest_;
  bool scanned_ = false;
  bool built_ = false;
  bool rest_scanned_ = false;
  std::vector<Refusal> refusals_;
};

}  // namespace

std::vector<Refusal> unfit_leaf(pg::Connection& connection,
                                const Table& table) {
  return read_refusals(connection.exec(kUnfit, {table.oid}));
}

const char* leaf_facts_query() {
  return kFacts;
}

void add_bound(pg::Connection& connection, Oid leaf,
               const QualifiedName& shadow) {
  const pg::Result bound = connection.exec(
      "SELECT pg_catalog.pg_get_partition_constraintdef($1::pg_catalog.oid)",
      {leaf});
  if (bound.is_null(0, 0)) return;  // a default one, and the only one
  connection.exec(fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({})",
                              shadow.quoted(), kBoundCheck, bound.text(0, 0)));
}

void attach_to_copy(pg::Connection& connection, const Table& leaf,
                    const QualifiedName& table, const QualifiedName& whole) {
  const Table above = catalog::read_table(connection, leaf.parent);
  create_clone_without_partitions(connection, above, whole);
  if (above.is_partition) {
    attach_to_copy(connection, above, whole,
                   {.schema = whole.schema,
                    .name = fmt::format("pgrecast above {}", above.oid)});
  }
  connection.exec(attach_statement(connection, leaf.oid, table, whole));
}

std::vector<Refusal> try_attach(pg::Connection& connection, const Table& leaf,
                                const QualifiedName& shadow,
                                const QualifiedName& whole) {
  return Attachment(connection, leaf, shadow, whole).attempt();
}

}  // namespace pgrecast::plan
