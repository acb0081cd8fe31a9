#pragma once

#include "pgrecast/catalog/views.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/connection.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::exchange {

// What hangs off the sources and goes along: statements to be run, made of
// definitions that the server prints. They are captured while the source still
// has its name, with an empty search_path, and replayed when the new table has
// it: they name the old table, and then mean the new one. No text is rewritten.
//
// The other half of the closed world in catalog/dependents.cc: a kind enters
// both at once.
struct Carried {
  // Lock the dependent views, each alone (LOCK TABLE view would lock every
  // table in it). Before the tables, and each before those that it reads: who
  // reads through a view locks the view first.
  std::vector<std::string> lock_views;
  std::vector<catalog::QualifiedName> locked_views;  // the same, by name
  // The tables at the other end of foreign keys, those whose policies or rules
  // mention one of ours, those above leaves, with their default partitions, and
  // parents and children of ours; as LOCK TABLE takes them.
  std::vector<std::string> other_tables;
  std::vector<catalog::Oid> other_oids;
  // Under the tables' locks, before anything else: takes the sequences' locks,
  // which keeps nextval() out until we are done.
  std::vector<std::string> lock_sequences;
  std::vector<catalog::QualifiedName> locked_sequences;  // the same, by name
  // Before the tables change their schemas, and after.
  std::vector<std::string> before;
  std::vector<std::string> after;
  // Between those two: of leaf partitions and of children, the old ones, and
  // the new ones once they have the names.
  std::vector<std::string> detach;
  std::vector<std::string> attach;
  // The tables that they are parts or children of, which are among the other
  // tables, and those of ours that have children: locked first, as whoever
  // reads or writes through one locks it before what is below it.
  std::set<catalog::Oid> wholes;
  // Identity sequences that hand over to others: grants go along, too.
  struct Identity {
    catalog::Oid from = 0;
    catalog::Oid to = 0;
    std::string name;  // quoted, after the exchange
  };
  std::vector<Identity> identities;
  // Whether any view reads a source; those that are dropped in `before` and
  // created in `after`: grants go along, too.
  bool has_views = false;
  struct View {
    catalog::Oid oid = 0;  // before the exchange
    catalog::QualifiedName name;
    bool materialized = false;
  };
  std::vector<View> views_anew;
  // Materialized views: what makes autovacuum give way, as nobody can LOCK
  // them, and keeps REFRESH out; and their OIDs.
  std::vector<std::string> lock_gently;
  std::vector<catalog::Oid> materialized_oids;
  // Foreign keys of a partitioned table, before 18. The server takes none NOT
  // VALID on the whole, so each leaf gets its own in the exchange; validated,
  // they become those of the whole table's, without a look at any row.
  struct LeafKeys {
    struct Leaf {  // both quoted as the server does it
      std::string name;
      std::string called;  // without the schema
    };
    catalog::Oid referencing = 0;  // the partitioned table, before the exchange
    catalog::Oid referenced = 0;
    std::string table;  // that partitioned table, quoted as the server does it
    std::string name;
    std::string definition;
    std::vector<Leaf> leaves;
  };
  std::vector<LeafKeys> leaf_keys;
  // By which an inventory knows, at their other ends, foreign keys that the
  // script drops.
  std::set<std::string> dropped_references;
  // What an inventory says of those that the script adds, by the table of which
  // it says so (before the exchange).
  std::map<catalog::Oid, Inventory> added_facts;
  // What rows are looked for in, before the exchange.
  std::vector<catalog::Oid> added_references;
  // Outside of the transaction.
  std::vector<std::string> afterwards;
};

// The parts of it that read_carried() puts together; each adds to `carried`.
void carry_foreign_keys(pg::Connection& connection,
                        const std::vector<ExchangeTable>& tables,
                        Carried& carried);
void carry_views(pg::Connection& connection,
                 const std::vector<ExchangeTable>& tables,
                 const std::vector<plan::Twin>& twins, Carried& carried);
void carry_readers(pg::Connection& connection,
                   const std::vector<ExchangeTable>& tables, Carried& carried);
void carry_leaves(pg::Connection& connection,
                  const std::vector<ExchangeTable>& tables, Carried& carried);
void carry_children(pg::Connection& connection,
                    const std::vector<ExchangeTable>& tables, Carried& carried);

// The same tables, as the catalog layer asks for them.
std::vector<catalog::Reshaped> reshaped(
    const std::vector<ExchangeTable>& tables);

// Reads a few catalogs a table: before the ACCESS EXCLUSIVE locks, under SHARE
// UPDATE EXCLUSIVE ones, which keep all that matters as it is except for what
// dependents_state.h notices.
Carried read_carried(pg::Connection& connection,
                     const std::vector<ExchangeTable>& tables,
                     const ExchangeOptions& options);

}  // namespace pgrecast::exchange
