#include "pgrecast/catalog/fingerprint.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/json.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include "key_problem.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace pgrecast::catalog {
namespace {

// Definitions are compared as the server stores them (hashed), not as it prints
// them: printing one takes a lock on the table, behind which we would wait.
//
// Of indexes only valid ones count: REINDEX CONCURRENTLY goes by unseen.
//
// Of our publication the xmin of both rows: a change and its undoing within a
// second are seen, too, since what was written between them is in no stream. So
// is a partition that was detached and attached again, by its link's xmin: what
// was written between is in no stream either.
//
// Of a child also what is marked as inherited: who leaves a parent and comes
// back has it marked otherwise.
//
// Partitions are found by pg_inherits: pg_partition_tree() would lock them.
//
// No setting may change what it answers (format_type and regclass would follow
// the search_path): it is asked by sessions with the script's settings too.
// Column 0 is the storage, the others are the parts of the shape.
std::string parts_query(Oid oid, const std::string& publication) {
  return fmt::format(
      R"sql(WITH RECURSIVE tree(oid, parent, link) AS (
 SELECT i.inhrelid, i.inhparent, i.xmin::pg_catalog.text
 FROM pg_catalog.pg_inherits i
 JOIN pg_catalog.pg_class root ON root.oid = i.inhparent AND root.relkind = 'p'
 WHERE i.inhparent = {0}::pg_catalog.oid
 UNION ALL
 SELECT i.inhrelid, i.inhparent, i.xmin::pg_catalog.text
 FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid),
part AS (
 SELECT k.oid, k.relname, k.relkind, k.relreplident, k.relpartbound, k.reloptions,
        k.reltablespace, k.relpersistence, tree.parent, tree.link
 FROM tree JOIN pg_catalog.pg_class k ON k.oid = tree.oid)
SELECT COALESCE(pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.text,
  (SELECT pg_catalog.string_agg(part.oid || ':' || pg_catalog.pg_relation_filenode(part.oid),
          ' ' ORDER BY part.oid) FROM part WHERE part.relkind = 'r'), 'none'),
 (SELECT 'name: ' || n.nspname || '.' || c.relname || COALESCE(
    (SELECT ', partition of ' || i.inhparent || ' by ' || pg_catalog.hashtext(
            pg_catalog.regexp_replace(c.relpartbound::pg_catalog.text, ':location -?[0-9]+', '', 'g'))
     FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition), '') || COALESCE(
    (SELECT ', inherits from ' || pg_catalog.string_agg(i.inhparent::pg_catalog.text, ', '
            ORDER BY i.inhseqno) || ' as ' || pg_catalog.hashtext(pg_catalog.concat(
            (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attislocal, a.attinhcount)
                    ORDER BY a.attnum)
             FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attinhcount > 0),
            (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.conname, n.conislocal, n.coninhcount)
                    ORDER BY n.conname)
             FROM pg_catalog.pg_constraint n
             WHERE n.conrelid = c.oid AND n.coninhcount > 0)))
     FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND NOT c.relispartition), '') || COALESCE(
    (SELECT ', inherited by ' || pg_catalog.string_agg(i.inhrelid::pg_catalog.text, ', '
            ORDER BY i.inhrelid)
     FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid AND c.relkind = 'r'), '')
  FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace),
 (SELECT 'columns: ' || pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum, a.attname,
         tn.nspname || '.' || t.typname, a.atttypmod, a.attcollation,
         a.attnotnull, a.attgenerated) ORDER BY a.attnum)::pg_catalog.text
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
 'replica identity: ' || c.relreplident::pg_catalog.text || ' ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(ic.relname, i.indkey::pg_catalog.text,
          i.indimmediate, i.indisvalid, i.indisunique) ORDER BY ic.relname)::pg_catalog.text
   FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
   WHERE i.indrelid = c.oid AND (i.indisreplident OR i.indisprimary)), 'none') || COALESCE(
  (SELECT ' partitions ' || pg_catalog.hashtext(pg_catalog.json_agg(pg_catalog.json_build_array(
          part.relname, part.relreplident,
          (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(ic.relname, i.indkey::pg_catalog.text,
                  i.indimmediate, i.indisvalid, i.indisunique) ORDER BY ic.relname)
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
           WHERE i.indrelid = part.oid AND (i.indisreplident OR i.indisprimary)))
          ORDER BY part.relname)::pg_catalog.text) FROM part), ''),
 'publication: ' || COALESCE(
  (SELECT pg_catalog.json_build_array(pr.oid, pr.xmin, p.xmin, p.pubinsert, p.pubupdate, p.pubdelete,
          p.pubtruncate, pg_catalog.to_jsonb(pr)->>'prattrs', pg_catalog.to_jsonb(pr)->>'prqual')::pg_catalog.text
   FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel pr ON pr.prpubid = p.oid
   WHERE p.pubname = {1} AND pr.prrelid = c.oid), 'not published'),
 'partition links: ' || COALESCE(
  (SELECT pg_catalog.hashtext(pg_catalog.json_agg(pg_catalog.json_build_array(
          part.oid, part.link) ORDER BY part.oid)::pg_catalog.text)::pg_catalog.text FROM part), 'none'),
 'indexes: ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(ic.relname, i.indisunique,
          i.indkey::pg_catalog.text, i.indclass::pg_catalog.text, i.indcollation::pg_catalog.text,
          i.indoption::pg_catalog.text, pg_catalog.hashtext(i.indexprs::pg_catalog.text),
          pg_catalog.hashtext(i.indpred::pg_catalog.text)) ORDER BY ic.relname)::pg_catalog.text
   FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
   WHERE i.indrelid = c.oid AND i.indisvalid), 'none'),
 'constraints: ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.conname, n.contype, n.convalidated,
          n.condeferrable, n.condeferred, n.conkey, pg_catalog.hashtext(n.conbin::pg_catalog.text))
          ORDER BY n.conname)::pg_catalog.text
   FROM pg_catalog.pg_constraint n
   WHERE n.conrelid = c.oid AND n.contype IN ('c', 'n', 'p', 'u', 'x')), 'none'),
 'defaults: ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(d.adnum, pg_catalog.hashtext(d.adbin::pg_catalog.text))
          ORDER BY d.adnum)::pg_catalog.text
   FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid), 'none'),
 'storage options: ' || COALESCE(c.reloptions::pg_catalog.text, 'none') || ' ' ||
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.attstorage, a.attcompression,
          COALESCE(a.attstattarget, -1), a.attoptions) ORDER BY a.attnum)::pg_catalog.text
   FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) || ' ' ||
  COALESCE((SELECT t.reloptions::pg_catalog.text FROM pg_catalog.pg_class t
            WHERE t.oid = c.reltoastrelid), 'none') || ' ' ||
  c.reltablespace::pg_catalog.text || ' ' || c.relam::pg_catalog.text || ' ' ||
  c.relpersistence::pg_catalog.text,
 'index options: ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(ic.relname, ic.reloptions, ic.reltablespace,
          i.indisclustered, (SELECT pg_catalog.json_agg(a.attstattarget ORDER BY a.attnum)
           FROM pg_catalog.pg_attribute a WHERE a.attrelid = ic.oid AND a.attstattarget >= 0))
          ORDER BY ic.relname)::pg_catalog.text
   FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
   WHERE i.indrelid = c.oid AND i.indisvalid), 'none'),
 'comments: ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(m.part, m.sub,
          pg_catalog.hashtext(m.description)) ORDER BY m.part, m.sub)::pg_catalog.text
   FROM (SELECT CASE WHEN d.objsubid = 0 THEN 'table' ELSE 'column' END AS part,
                d.objsubid::pg_catalog.text AS sub, d.description
         FROM pg_catalog.pg_description d
         WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = c.oid
         UNION ALL
         SELECT 'index', ic.relname, d.description
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
         JOIN pg_catalog.pg_description d ON d.objoid = ic.oid AND d.objsubid = 0
          AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
         WHERE i.indrelid = c.oid
         UNION ALL
         SELECT 'constraint', n.conname, d.description
         FROM pg_catalog.pg_constraint n
         JOIN pg_catalog.pg_description d ON d.objoid = n.oid
          AND d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
         WHERE n.conrelid = c.oid AND n.contype IN ('c', 'n', 'p', 'u', 'x')) AS m), 'none'),
 'identities: ' || COALESCE(
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.attidentity, s.relname,
          q.seqtypid, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
          ORDER BY a.attnum)::pg_catalog.text
   FROM pg_catalog.pg_depend d
   JOIN pg_catalog.pg_sequence q ON q.seqrelid = d.objid
   JOIN pg_catalog.pg_class s ON s.oid = d.objid
   JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = c.oid AND d.deptype = 'i'), 'none'),
 'partitions: ' || COALESCE(
  (SELECT pg_catalog.json_object_agg(part.relname, pg_catalog.hashtext(
          pg_catalog.json_build_array(part.oid, part.parent,
          pg_catalog.regexp_replace(part.relpartbound::pg_catalog.text, ':location -?[0-9]+', '', 'g'),
          part.reloptions,
          part.reltablespace, part.relpersistence,
          (SELECT pg_catalog.hashtext(pg_catalog.json_agg(pg_catalog.json_build_array(a.attnum,
             a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attstorage,
             a.attcompression, COALESCE(a.attstattarget, -1), a.attoptions)
             ORDER BY a.attnum)::pg_catalog.text)
           FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = part.oid AND a.attnum > 0 AND NOT a.attisdropped),
          (SELECT pg_catalog.hashtext(pg_catalog.json_agg(pg_catalog.json_build_array(d.adnum,
             d.adbin::pg_catalog.text) ORDER BY d.adnum)::pg_catalog.text)
           FROM pg_catalog.pg_attrdef d WHERE d.adrelid = part.oid),
          (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(ic.relname, i.indkey::pg_catalog.text,
             pg_catalog.hashtext(i.indexprs::pg_catalog.text), pg_catalog.hashtext(i.indpred::pg_catalog.text))
             ORDER BY ic.relname)
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
           WHERE i.indrelid = part.oid AND i.indisvalid),
          (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.conname, n.contype, n.convalidated,
             pg_catalog.hashtext(n.conbin::pg_catalog.text)) ORDER BY n.conname)
           FROM pg_catalog.pg_constraint n
           WHERE n.conrelid = part.oid AND n.contype IN ('c', 'n', 'p', 'u', 'x')))::pg_catalog.text)
          ORDER BY part.relname)::pg_catalog.text FROM part), 'none')
FROM pg_catalog.pg_class c WHERE c.oid = {0}::pg_catalog.oid)sql",
      oid, pg::quote_literal(publication));
}

// Those that are not there any more.
std::vector<std::string> lost(const std::vector<std::string>& labels,
                              const std::vector<std::string>& now) {
  std::vector<std::string> gone;
  for (const std::string& label : labels) {
    if (std::ranges::find(now, label) == now.end()) gone.push_back(label);
  }
  return gone;
}

std::string renamed(const std::string& label) {
  return fmt::format("label of the key: {}, now renamed", label);
}

constexpr std::string_view kPartitions = "partitions: ";

nlohmann::json partitions_of(const std::string& part) {
  const auto parsed =
      nlohmann::json::parse(part.substr(kPartitions.size()), nullptr, false);
  return parsed.is_object() ? parsed : nlohmann::json::object();
}

// There may be hundreds: those that came, went or changed.
std::string partitions_changed(const std::string& before,
                               const std::string& after) {
  const nlohmann::json was = partitions_of(before);
  const nlohmann::json now = partitions_of(after);
  std::string text;
  const auto add = [&](const std::string& name, const char* what) {
    text +=
        fmt::format("{}partition {} {}", text.empty() ? "" : ", ", name, what);
  };
  for (const auto& [name, hash] : was.items()) {
    if (!now.contains(name)) add(name, "is gone");
    if (now.contains(name) && now.at(name) != hash) add(name, "is another");
  }
  for (const auto& [name, hash] : now.items()) {
    if (!was.contains(name)) add(name, "is new");
  }
  return text;
}

}  // namespace

bool Fingerprint::holds(const Fingerprint& now) const {
  return storage == now.storage && shape == now.shape &&
         key_label_rows == now.key_label_rows;
}

std::string Fingerprint::shape_difference(const Fingerprint& now) const {
  std::string text;
  for (std::size_t i = 0; i < shape.size() && i < now.shape.size(); ++i) {
    if (shape[i] == now.shape[i]) continue;
    const std::string difference =
        shape[i].starts_with(kPartitions)
            ? partitions_changed(shape[i], now.shape[i])
            : fmt::format("{}, now {}", shape[i], now.shape[i]);
    text += (text.empty() ? "" : "; ") + difference;
  }
  for (const std::string& label : lost(key_labels, now.key_labels)) {
    text += (text.empty() ? "" : "; ") + renamed(label);
  }
  return text;
}

std::string Fingerprint::printed_difference(const Fingerprint& now) const {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < shape.size() && i < now.shape.size(); ++i) {
    const bool same_on_both = shape[i].starts_with("name: ") ||
                              shape[i].starts_with("replica identity: ");
    if (!same_on_both || shape[i] == now.shape[i]) continue;
    lines.push_back(fmt::format("{}, now {}", shape[i], now.shape[i]));
  }
  std::ranges::move(differences(printed, now.printed),
                    std::back_inserter(lines));
  for (const std::string& label : lost(key_labels, now.key_labels)) {
    lines.push_back(renamed(label));
  }
  return join(lines, "; ");
}

bool Fingerprint::endangers_writers(const Fingerprint& now) const {
  for (std::size_t i = 0; i < shape.size() && i < now.shape.size(); ++i) {
    const std::string& part = shape[i];
    // Before we published it, that we do is no change of somebody's.
    const bool matters = part.starts_with("replica identity: ") ||
                         (part.starts_with("publication: ") &&
                          part != "publication: not published");
    if (matters && part != now.shape[i]) return true;
  }
  return false;
}

std::string Fingerprint::to_json() const {
  return recorded_json({{"storage", storage},
                        {"shape", shape},
                        {"key_labels", key_labels},
                        {"key_label_rows", key_label_rows},
                        {"printed", printed}});
}

Fingerprint Fingerprint::from_json(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json);
  return {.storage = parsed.at("storage").get<std::string>(),
          .shape = parsed.at("shape").get<std::vector<std::string>>(),
          .key_labels = parsed.at("key_labels").get<std::vector<std::string>>(),
          .key_label_rows = parsed.at("key_label_rows").get<std::string>(),
          // Older records are without.
          .printed = parsed.value("printed", Facts())};
}

Fingerprint read_fingerprint(pg::Connection& connection, Oid oid,
                             const std::string& publication) {
  const pg::Result result = connection.exec(parts_query(oid, publication));
  if (result.empty()) {
    throw SourceChanged(
        fmt::format("the table of OID {} was dropped by somebody", oid));
  }
  Fingerprint fingerprint{.storage = std::string(result.text(0, 0)),
                          .shape = {},
                          .key_labels = {},
                          .key_label_rows = {},
                          .printed = {}};
  for (int column = 1; column < result.columns(); ++column) {
    fingerprint.shape.emplace_back(result.text(0, column));
  }
  const pg::Result labels = connection.exec(key_labels_query(oid));
  for (int row = 0; row < labels.rows(); ++row) {
    fingerprint.key_labels.emplace_back(labels.text(row, 0));
  }
  std::ranges::sort(fingerprint.key_labels);
  fingerprint.key_label_rows =
      connection.exec(key_label_rows_query(oid)).text(0, 0);
  return fingerprint;
}

Fingerprint read_whole_fingerprint(pg::Connection& connection, Oid oid,
                                   const std::string& publication) {
  Fingerprint fingerprint = read_fingerprint(connection, oid, publication);
  for (const auto& [fact, value] : read_shape(connection, oid)) {
    fingerprint.printed.emplace(utf8_or_escaped(fact), utf8_or_escaped(value));
  }
  return fingerprint;
}

std::string fingerprint_check(const Fingerprint& fingerprint, Oid oid,
                              const std::string& publication) {
  std::string expected = pg::quote_literal(fingerprint.storage);
  std::string names = "storage";
  for (std::size_t i = 0; i < fingerprint.shape.size(); ++i) {
    expected += ", " + pg::quote_literal(fingerprint.shape[i]);
    names += fmt::format(", part{}", i);
  }
  std::string check = fmt::format(
      "SELECT COALESCE((SELECT ROW(now.*)::pg_catalog.text "
      "OPERATOR(pg_catalog.=) ROW({})"
      "::pg_catalog.text FROM ({}) AS now({})), false)",
      expected, parts_query(oid, publication), names);
  if (fingerprint.key_labels.empty()) return check;
  return check + fmt::format(" AND ({}) OPERATOR(pg_catalog.=) {}",
                             key_label_rows_query(oid),
                             pg::quote_literal(fingerprint.key_label_rows));
}

}  // namespace pgrecast::catalog
