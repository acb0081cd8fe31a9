// A source that inherits from other tables: the old one leaves its parents, the
// new one comes to them in the same order, and leaves its stand-in for them. A
// source from which others inherit: they come to the new one, and leave the old
// one.

#include "pgrecast/plan/child.h"
#include "pgrecast/plan/parent.h"

#include "carried.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::exchange {
namespace {

void lock(catalog::Oid oid, const catalog::QualifiedName& name,
          Carried& carried) {
  const auto& known = carried.other_oids;
  if (std::ranges::find(known, oid) != known.end()) return;
  carried.other_oids.push_back(oid);
  carried.other_tables.push_back("ONLY " + name.quoted());
}

// In this order, so that nothing of it is unmarked on the way.
void hand_over(pg::Connection& connection, const ExchangeTable& table,
               Carried& carried) {
  for (const plan::Child& child :
       plan::read_children(connection, table.source_oid)) {
    carried.wholes.insert(table.source_oid);
    lock(child.oid, child.name, carried);
    carried.attach.push_back(fmt::format("ALTER TABLE {} INHERIT {}",
                                         child.name.quoted(),
                                         table.target->source.quoted()));
    carried.attach.push_back(fmt::format("ALTER TABLE {} NO INHERIT {}",
                                         child.name.quoted(),
                                         table.target->retired.quoted()));
  }
}

}  // namespace

// Before the stand-in is left: what no parent has any more becomes local.
void carry_children(pg::Connection& connection,
                    const std::vector<ExchangeTable>& tables,
                    Carried& carried) {
  for (const ExchangeTable& table : tables) {
    const std::string name = table.target->source.quoted();
    for (const plan::Parent& parent :
         plan::read_parents(connection, table.source_oid)) {
      carried.wholes.insert(parent.oid);
      lock(parent.oid, parent.name, carried);
      carried.detach.push_back(fmt::format("ALTER TABLE {} NO INHERIT {}", name,
                                           parent.name.quoted()));
      carried.attach.push_back(
          fmt::format("ALTER TABLE {} INHERIT {}", name, parent.name.quoted()));
    }
    for (const plan::Parent& stand_in :
         plan::read_parents(connection, table.shadow_oid)) {
      carried.attach.push_back(fmt::format("ALTER TABLE {} NO INHERIT {}", name,
                                           stand_in.name.quoted()));
    }
    hand_over(connection, table, carried);
  }
}

}  // namespace pgrecast::exchange
