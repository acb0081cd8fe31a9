#include "pgrecast/exchange/exchange.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/catalog/dependents.h"
#include "pgrecast/catalog/grants.h"
#include "pgrecast/catalog/places.h"
#include "pgrecast/catalog/rename_columns.h"
#include "pgrecast/exchange/printed.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/added_foreign_keys.h"
#include "pgrecast/plan/child.h"
#include "pgrecast/plan/leaf.h"
#include "pgrecast/plan/leaf_keys.h"
#include "pgrecast/plan/parent.h"
#include "pgrecast/plan/partitions.h"

#include "carried.h"
#include "dependents_state.h"
#include "held_dependents.h"
#include "holders.h"
#include "inventory_query.h"
#include "partitions.h"
#include "row_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace pgrecast::exchange {
namespace {

using catalog::Grant;
using catalog::grant_statements;
using catalog::Oid;
using catalog::read_grants;

constexpr const char* kGuard = "pgrecast_guard";
constexpr const char* kDependentsState = "pgrecast_dependents_state";
constexpr const char* kUnlockedState = "pgrecast_unlocked_state";

milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

std::string batch(const std::vector<std::string>& statements) {
  return join(statements, ";\n");
}

std::vector<std::string> guard(const plan::TableTarget& target,
                               const catalog::QualifiedName& table) {
  // OR REPLACE: the old table may have had a trigger of that name.
  return {
      fmt::format(
          "CREATE OR REPLACE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE OR "
          "TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION "
          "{}({})",
          kGuard, table.quoted(),
          pg::quote_qualified(target.retired.schema, kGuard),
          pg::quote_literal(target.source.display())),
      // ONLY: the partitions have their own.
      fmt::format("ALTER TABLE ONLY {} ENABLE ALWAYS TRIGGER {}",
                  table.quoted(), kGuard)};
}

// For the column `name` of the source: what it is called now, or nullopt where
// the new table has no such column.
std::optional<std::string> new_column(const ExchangeTable& table,
                                      const std::string& name,
                                      const Inventory& shadow) {
  const auto renamed = table.renamed.find(name);
  const std::string now =
      renamed == table.renamed.end() ? name : renamed->second;
  if (!shadow.contains("column " + now)) return std::nullopt;
  return now;
}

// What the script grants and revokes, on top of what there is.
void apply_script(const std::vector<plan::ScriptGrant>& changes,
                  std::vector<Grant>& grants) {
  for (const plan::ScriptGrant& change : changes) {
    std::erase_if(grants, [&](const Grant& grant) {
      return grant.column == change.column &&
             grant.privilege == change.privilege &&
             grant.grantee == change.grantee && grant.grantor == change.grantor;
    });
    if (!change.granted) continue;
    grants.push_back({.column = change.column,
                      .privilege = change.privilege,
                      .grantee = change.grantee,
                      .grantor = change.grantor,
                      .grantable = change.grantable,
                      .by_owner = true,
                      .as_grantor = false});
  }
}

// What is known of a table before the exchange.
struct Before {
  Inventory source;
  Inventory shadow;
  Inventory partitions;  // of the shadow
  std::vector<TreePart> source_parts;
  std::vector<TreePart> shadow_parts;
};

// A sequence that the script has made for a column moves along with it, and the
// column's default says so. The server quotes a schema's name where it must.
std::string with_moved_sequence(const plan::TableTarget& target,
                                const std::string& fact,
                                const std::string& value,
                                const Inventory& all_now) {
  const auto now = all_now.find(fact);
  if (now == all_now.end() || now->second == value) return value;
  const auto drawn_from = [](const std::string& schema) {
    std::string literal = pg::quote_literal(schema + ".");
    literal.pop_back();
    return "nextval(" + literal;
  };
  const auto as_printed = [](const std::string& schema) {
    return std::array{schema, pg::quote_identifier(schema)};
  };
  for (const std::string& before : as_printed(target.shadow.schema)) {
    const auto at = value.find(drawn_from(before));
    if (at == std::string::npos) continue;
    for (const std::string& after : as_printed(target.source.schema)) {
      std::string text = value;
      text.replace(at, drawn_from(before).size(), drawn_from(after));
      if (text == now->second) return text;
    }
  }
  return value;
}

// Whether the script adds or drops columns: then the server prints other lists
// of columns behind aliases, such as those of a join.
bool columns_come_or_go(const Before& before) {
  const auto missing = [](const Inventory& from, const Inventory& in) {
    return std::ranges::any_of(from, [&](const auto& fact) {
      return fact.first.starts_with("column ") && !in.contains(fact.first);
    });
  };
  return missing(before.source, before.shadow) ||
         missing(before.shadow, before.source);
}

// What the new table must look like, and then, whether it does.
class Proof {
 public:
  Proof(const ExchangeTable& table, const ExchangeOptions& options,
        const Carried& carried, const Before& before,
        const std::vector<Grant>& grants, const Inventory& retired,
        const Inventory& now)
      : table_(table),
        carried_(carried),
        own_publication_("publication " + options.own_publication),
        target_(*table.target),
        before_(before),
        grants_(grants),
        retired_(retired),
        now_(now) {}

  std::vector<std::string> differences() {
    expect_handed_over();
    expect_added_foreign_keys();
    expect_shape();
    auto lines = exchange::differences(expected_, now_);
    check_indexes(lines);
    return lines;
  }

 private:
  static constexpr std::string_view kIdentity = "identity of column ";

  // Where the script changes nothing, nothing may differ.
  bool unchanged() const { return target_.changes.empty(); }

  void expect_handed_over() {
    for (const auto& [fact, value] : before_.source) {
      if (handed_over(fact) && !needs_no_lock(fact)) expect(fact, value);
    }
    for (const auto& [fact, value] : retired_) {
      if (needs_no_lock(fact)) expect(fact, value);
    }
    for (const plan::ScriptGrant& change : target_.grants) expect(change);
    expect_new_statistics();
    // A table's own to itself, which tells of no reference by itself.
    for (const Carried::LeafKeys& keys : carried_.leaf_keys) {
      if (keys.referencing == table_.source_oid &&
          keys.referenced == table_.source_oid) {
        expect_by_leaves(keys);
      }
    }
    for (const auto& [fact, value] : now_) {
      if (!expected_.contains(fact) && is_made_by_script(fact, value)) {
        expected_.emplace(fact, value);
      }
    }
  }

  // GRANT takes no lock on the table, and nothing that is done to its row type
  // does: only what the old table has at the end tells of these.
  static bool needs_no_lock(const std::string& fact) {
    return fact.starts_with("grant ") || fact.starts_with("row type ");
  }

  void expect_added_foreign_keys() {
    const auto facts = carried_.added_facts.find(table_.source_oid);
    if (facts == carried_.added_facts.end()) return;
    for (const auto& [fact, value] : facts->second) {
      expected_.insert_or_assign(fact, value);
    }
  }

  // What the script makes on the shadow: sequences of columns.
  bool is_made_by_script(const std::string& fact,
                         const std::string& value) const {
    if (unchanged()) return false;
    static constexpr std::string_view kOwned = "owned sequence ";
    const std::string moved = target_.source.schema + ".";
    if (fact.starts_with(kOwned) &&
        fact.compare(kOwned.size(), moved.size(), moved) == 0) {
      const auto made = before_.shadow.find(
          fmt::format("{}{}.{}", kOwned, target_.shadow.schema,
                      fact.substr(kOwned.size() + moved.size())));
      return made != before_.shadow.end() && made->second == value;
    }
    return fact.starts_with("identity ") && before_.shadow.contains(fact) &&
           !is_of_carried_identity(fact);
  }

  // Whether it is about the sequence of an identity that the source has, too.
  bool is_of_carried_identity(const std::string& fact) const {
    return std::ranges::any_of(identities(before_.source),
                               [&](const std::string& column) {
                                 const auto now = mapped(column);
                                 return now && place_of(fact, *now).has_value();
                               });
  }

  // What the script grants and revokes wins over what the old table has, but
  // for what somebody else has granted: of that, the list of what was wanted
  // tells.
  void expect(const plan::ScriptGrant& change) {
    const std::string fact = fmt::format(
        "grant {}{} to {}", change.privilege,
        change.column.empty() ? "" : fmt::format(" ({})", change.column),
        change.grantee.empty() ? "PUBLIC" : change.grantee);
    expected_.erase(fact);
    std::set<std::string> grantors;
    for (const Grant& grant : grants_) {
      if (grant.column != change.column || grant.grantee != change.grantee ||
          grant.privilege != change.privilege) {
        continue;
      }
      grantors.insert(grant.grantor +
                      (grant.grantable ? " with grant option" : ""));
    }
    if (grantors.empty()) return;
    expected_.emplace(fact, join({grantors.begin(), grantors.end()}, ", "));
  }

  static std::string statistics_fact(const std::string& schema,
                                     const std::string& name) {
    return fmt::format("statistics {}.{}", schema, name);
  }

  // On the shadow already: what the script makes.
  void expect_new_statistics() {
    const std::string head = statistics_fact(target_.shadow.schema, "");
    for (const auto& [fact, value] : before_.shadow) {
      if (!fact.starts_with(head)) continue;
      expected_.emplace(
          statistics_fact(target_.source.schema, fact.substr(head.size())),
          value);
    }
  }

  bool is_dropped_statistics(const std::string& fact) const {
    return std::ranges::any_of(
        target_.dropped_statistics, [&](const catalog::QualifiedName& name) {
          return fact == statistics_fact(name.schema, name.name);
        });
  }

  void expect(const std::string& fact, const std::string& value) {
    if (fact == own_publication_) return;  // stays with the old table
    if (is_dropped_statistics(fact)) return;
    if (may_be_printed_otherwise(fact, value)) {
      expected_.emplace(fact, now_.at(fact));
      return;
    }
    static constexpr std::string_view kForeignKey = "foreign key ";
    if (fact.starts_with(kForeignKey)) {
      std::string name = fact.substr(kForeignKey.size());
      if (name.starts_with("comment ")) name = name.substr(8);
      if (target_.dropped_foreign_keys.contains(name)) return;
      // Its leaves have it, until it is valid.
      if (on_leaves(name)) return;
    }
    if (carried_.dropped_references.contains(fact)) return;
    if (fact.starts_with("referenced by ") && expect_from_leaves(fact)) return;
    if (fact.starts_with("owned sequence ")) return expect_owned(fact, value);
    if (fact.starts_with("identity ")) return expect_identity(fact, value);
    static constexpr std::string_view kLabel = "security label (";
    if (fact.starts_with(kLabel)) {
      const auto end = fact.rfind(") of ");
      const auto column =
          mapped(fact.substr(kLabel.size(), end - kLabel.size()));
      if (!column) return;
      expected_.emplace(std::string(kLabel) + *column + fact.substr(end),
                        value);
      return;
    }
    const auto open = fact.find(" (");
    if (!fact.starts_with("grant ") || open == std::string::npos) {
      expected_.emplace(fact, value);
      return;
    }
    const auto close = fact.find(") to ", open);
    const auto column = mapped(fact.substr(open + 2, close - open - 2));
    if (!column) return;
    expected_.emplace(fact.substr(0, open + 2) + *column + fact.substr(close),
                      value);
  }

  bool on_leaves(const std::string& name) const {
    return std::ranges::any_of(
        carried_.leaf_keys, [&](const Carried::LeafKeys& keys) {
          return keys.referencing == table_.source_oid && keys.name == name;
        });
  }

  bool expect_from_leaves(const std::string& fact) {
    for (const Carried::LeafKeys& keys : carried_.leaf_keys) {
      if (keys.referenced != table_.source_oid ||
          fact != fmt::format("referenced by {} {}", keys.table, keys.name)) {
        continue;
      }
      expect_by_leaves(keys);
      return true;
    }
    return false;
  }

  void expect_by_leaves(const Carried::LeafKeys& keys) {
    for (const auto& leaf : keys.leaves) {
      expected_.emplace(
          fmt::format("referenced by {} {}", leaf.name, keys.name),
          keys.definition);
    }
  }

  // Casts, where a column's type changes. What a view that was created anew
  // uses is compared by itself.
  bool may_be_printed_otherwise(const std::string& fact,
                                const std::string& value) const {
    static constexpr std::array<std::string_view, 5> kConditions = {
        "trigger ", "rule ", "policy ", "publication ", "statistics "};
    const auto now = now_.find(fact);
    if (now == now_.end() || unchanged()) return false;
    const auto begins = [&](std::string_view with) {
      return fact.starts_with(with);
    };
    if (std::ranges::any_of(kConditions, begins)) {
      return without_casts(now->second) == without_casts(value);
    }
    // A query begins with a blank; its columns and their types are by
    // themselves.
    if (fact.starts_with("view text ") && value.starts_with(' ') &&
        now->second.starts_with(' ') && columns_come_or_go(before_)) {
      return true;
    }
    return std::ranges::any_of(
        carried_.views_anew, [&](const Carried::View& view) {
          return fact.starts_with("view text " + view.name.display());
        });
  }

  std::optional<std::string> mapped(const std::string& column) const {
    return new_column(table_, column, before_.shadow);
  }

  // Of a column that is gone: it stayed with the old table, unless a default
  // of another column uses it; then it must be somebody's.
  void expect_owned(const std::string& fact, const std::string& value) {
    static constexpr std::string_view kBy = "by column ";
    if (const auto column = mapped(value.substr(kBy.size()))) {
      expected_.emplace(fact, std::string(kBy) + *column);
    } else if (now_.contains(fact)) {
      expected_.emplace(fact, now_.at(fact));
    }
  }

  // Only where the new column is one, too.
  void expect_identity(const std::string& fact, const std::string& value) {
    for (const std::string& column : identities(before_.source)) {
      const auto place = place_of(fact, column);
      if (!place) continue;
      const auto now = mapped(column);
      if (now && before_.shadow.contains(std::string(kIdentity) + *now)) {
        expected_.emplace(
            fact.substr(0, *place) + *now + fact.substr(*place + column.size()),
            value);
      }
      return;
    }
  }

  static std::vector<std::string> identities(const Inventory& inventory) {
    std::vector<std::string> columns;
    for (const auto& [fact, ignored] : inventory) {
      if (fact.starts_with(kIdentity)) {
        columns.push_back(fact.substr(kIdentity.size()));
      }
    }
    return columns;
  }

  // Where a fact about an identity's sequence has the column's name, if it is
  // this column's.
  static std::optional<std::size_t> place_of(const std::string& fact,
                                             const std::string& column) {
    static constexpr std::string_view kOf = " of ";
    const auto place = fact.find(kOf) + kOf.size();
    if (fact.compare(place, column.size(), column) != 0) return std::nullopt;
    const auto end = place + column.size();
    const bool whole = end == fact.size() || fact.compare(end, 4, " to ") == 0;
    if (whole) return place;
    return std::nullopt;
  }

  void expect_shape() {
    const Inventory& shape = table_.planned ? *table_.planned
                             : unchanged()  ? before_.source
                                            : before_.shadow;
    for (const auto& [fact, value] : shape) {
      if (handed_over(fact)) continue;
      expected_.emplace(fact, with_moved_sequence(target_, fact, value, now_));
    }
    if (target_.key_index_is_ours) {
      expected_.erase("index " + target_.key_index.name);
      expected_.erase("comment on index " + target_.key_index.name);
    }
    expected_.erase(fmt::format("constraint {}", plan::kBoundCheck));
    if (table_.planned || unchanged()) return;
    expect_late();
  }

  // The names of what is added late are within the statements: what was not
  // there before must be that.
  void expect_late() {
    static constexpr std::string_view kConstraint = "constraint ";
    auto late = std::ranges::count_if(
        target_.late_constraints, [](const std::string& statement) {
          return !statement.starts_with("COMMENT ");
        });
    auto comments = std::ssize(target_.late_constraints) - late;
    for (const auto& [fact, value] : now_) {
      if (late == 0) return;
      if (expected_.contains(fact) || !fact.starts_with(kConstraint)) continue;
      expected_.emplace(fact, value);
      --late;
      const auto comment = now_.find("comment on " + fact);
      if (comment == now_.end() || comments == 0) continue;
      expected_.emplace(*comment);
      --comments;
    }
  }

  // The plan's own list, whatever the script changes.
  void check_indexes(std::vector<std::string>& lines) const {
    std::set<std::string> planned;
    if (!target_.key_index_is_ours) planned.insert(target_.key_index.name);
    for (const plan::ShadowIndex& index : target_.indexes) {
      planned.insert(index.name);
    }
    for (const std::string& name : planned) {
      const auto found = now_.find("index " + name);
      if (found == now_.end()) {
        lines.push_back(fmt::format("planned index {} does not exist", name));
      } else if (found->second.find(" INVALID") != std::string::npos) {
        lines.push_back(fmt::format("planned index {} is invalid", name));
      }
    }
    for (const auto& [fact, value] : now_) {
      static constexpr std::string_view kIndex = "index ";
      if (!fact.starts_with(kIndex)) continue;
      if (planned.contains(fact.substr(kIndex.size()))) continue;
      lines.push_back(fmt::format("{} is not planned (is: {})", fact, value));
    }
  }

  const ExchangeTable& table_;
  const Carried& carried_;
  std::string own_publication_;
  const plan::TableTarget& target_;
  const Before& before_;
  const std::vector<Grant>& grants_;  // that the new table shall have
  const Inventory& retired_;
  const Inventory& now_;
  Inventory expected_;
};

// A materialized view, and its twin in its place: columns may have other types,
// and then another storage; the query, indexes and statistics other casts.
std::vector<std::string> materialized_differences(const Inventory& before,
                                                  const Inventory& now,
                                                  bool other_lists) {
  static constexpr std::array<std::string_view, 3> kPrinted = {
      "index ", "statistics ", "rule "};
  Inventory expected = before;
  for (auto& [fact, value] : expected) {
    const auto found = now.find(fact);
    if (found == now.end()) continue;
    const std::string& is = found->second;
    const auto begins = [&fact = fact](std::string_view with) {
      return fact.starts_with(with);
    };
    const bool column = begins("column ") && !begins("column order");
    const auto type = [](const std::string& text) {
      return text.substr(0, text.find(" DEFAULT "));
    };
    const auto rest = [](const std::string& text) {
      return text.substr(text.find(" COMPRESSION "));
    };
    const bool same =
        (column && type(is) != type(value) && rest(is) == rest(value)) ||
        (other_lists && begins("rule ")) ||
        (std::ranges::any_of(kPrinted, begins) &&
         without_casts(is) == without_casts(value));
    if (same) value = is;
  }
  return differences(expected, now);
}

// One attempt. Each step below is one of design's, in its order.
class Exchange {
 public:
  Exchange(pg::Connection& connection, std::vector<ExchangeTable> tables,
           const ExchangeOptions& options, const ExchangeHooks& hooks)
      : connection_(connection),
        tables_(std::move(tables)),
        options_(options),
        hooks_(hooks) {
    std::ranges::sort(tables_, {}, &ExchangeTable::source_oid);
    for (const ExchangeTable& table : tables_) {
      oids_.push_back(table.source_oid);
      oids_.push_back(table.shadow_oid);
    }
  }

  Attempt run() {
    prepare();
    if (blocked_by_long_holders(oids_)) return attempt_;
    pg::Transaction transaction(connection_);
    try {
      if (!exchange()) {
        transaction.rollback();
        name_holders();
        return attempt_;
      }
      // Not past the deadline: COMMIT itself is not to be interrupted.
      if (deadline_.passed()) throw TimedOut("the exchange");
      PGRECAST_SYNC_POINT("exchange:before_commit");
      transaction.commit();
    } catch (const TimedOut& late) {
      transaction.rollback();
      attempt_.outcome = Attempt::Outcome::kOverBudget;
      attempt_.reason = fmt::format("not done within {} ms: {}",
                                    options_.budget.count(), late.what());
      if (held_since_) attempt_.held = since(*held_since_);
      return attempt_;
    }
    attempt_.held = since(*held_since_);
    attempt_.outcome = Attempt::Outcome::kExchanged;
    attempt_.reason.clear();
    attempt_.afterwards = carried_.afterwards;
    PGRECAST_SYNC_POINT("exchange:after_commit");
    return attempt_;
  }

 private:
  void prepare();
  bool blocked_by_long_holders(const std::vector<Oid>& relations);
  bool exchange();
  bool lock_gently();
  bool lock_gently(const std::vector<std::string>& names);
  bool lock_materialized_gently();
  std::vector<Oid> other_relations() const;
  void require_names();
  void require_references();
  void require_carried();
  bool twins_are_right();
  std::vector<Oid> originals() const;
  void read_before();
  bool lock_all();
  bool lock_sequences();
  void changed_just_now(const pg::SqlError& error);
  bool hold_others();
  std::map<Oid, int> depths() const;
  void read_as_renamed();
  void rename_source_columns();
  void read_grants_again();
  bool grant_on_views();
  Oid anew(const Carried::View& view);
  void call_hooks();
  bool exchange_names();
  bool run_batch(const std::vector<std::string>& all);
  std::vector<std::string> free_names() const;
  std::vector<std::string> statements() const;
  Inventory expected_of_partitions(std::size_t table) const;
  void prove();
  void restore_source_columns(catalog::QualifiedName plan::TableTarget::*where);
  Inventory inventory(Oid oid);
  Inventory view_inventory(Oid oid);
  Inventory execute(const std::string& prepared, Oid oid);
  pg::Result execute_prepared(const std::string& call);
  std::string state(const std::string& prepared);
  bool changed_since(const std::string& prepared, const std::string& state);
  bool attempt_lock(const std::string& statement, Deadline deadline);
  std::string lockable(Oid source, const catalog::QualifiedName& name) const;
  void name_holders();

  pg::Connection& connection_;
  std::vector<ExchangeTable> tables_;
  const ExchangeOptions& options_;
  const ExchangeHooks& hooks_;

  std::vector<Oid> oids_;
  std::set<Oid> parents_;  // sources from which others, not partitions, inherit
  milliseconds deadlock_timeout_{1000};
  std::string current_role_;
  std::string state_;
  std::string unlocked_state_;
  Carried carried_;
  std::vector<Before> before_;              // as tables_
  std::vector<std::vector<Grant>> wanted_;  // as tables_, of the new ones
  std::vector<std::string> grants_;
  std::vector<std::vector<Grant>> view_grants_;  // as carried_.views_anew
  std::vector<Inventory> materialized_;          // the same; of the others {}
  std::vector<catalog::ColumnRenaming> renamings_;  // as tables_
  std::optional<std::string> not_granted_;          // what was waited for
  Clock::time_point lock_asked_ = Clock::now();
  std::optional<Clock::time_point> held_since_;  // the first of them
  Deadline deadline_ = Deadline::never();
  Attempt attempt_;
};

void Exchange::prepare() {
  PGRECAST_ASSERT(!connection_.in_transaction(), "tables={}", tables_.size());
  for (const ExchangeTable& table : tables_) {
    if (!plan::read_children(connection_, table.source_oid).empty()) {
      parents_.insert(table.source_oid);
    }
    for (const Oid root : {table.source_oid, table.shadow_oid}) {
      for (const TreePart& part : read_tree(connection_, root)) {
        oids_.push_back(part.oid);
      }
    }
  }
  const pg::Result settings = connection_.exec(
      "SELECT (SELECT setting FROM pg_catalog.pg_settings "
      "WHERE name = 'deadlock_timeout'), current_user, "
      "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements "
      "WHERE name = 'pgrecast_inventory')");
  deadlock_timeout_ = milliseconds(settings.number<std::int64_t>(0, 0));
  current_role_ = settings.text(0, 1);
  if (settings.boolean(0, 2)) return;
  connection_.exec("PREPARE pgrecast_inventory(pg_catalog.oid) AS " +
                   inventory_query(connection_.server_version()));
  connection_.exec(
      fmt::format("PREPARE pgrecast_view_inventory(pg_catalog.oid) AS {}",
                  view_inventory_query()));
  connection_.exec(fmt::format("PREPARE {}(pg_catalog.oid[]) AS {}",
                               kDependentsState, dependents_state_query()));
  connection_.exec(fmt::format("PREPARE {}(pg_catalog.oid[]) AS {}",
                               kUnlockedState, unlocked_state_query()));
}

bool Exchange::blocked_by_long_holders(const std::vector<Oid>& relations) {
  const auto holders =
      find_holders(connection_, relations, options_.long_holder);
  if (holders.empty()) return false;
  attempt_.outcome = Attempt::Outcome::kBlocked;
  attempt_.reason = join(holders, "; ");
  return true;
}

// False: rolled back, attempt_ says why (for locks, name_holders() does).
bool Exchange::exchange() {
  if (!lock_gently()) return false;
  require_names();
  require_references();
  require_carried();
  // A REFRESH that runs: a definition cannot be read meanwhile.
  if (blocked_by_long_holders(originals())) return false;
  if (!twins_are_right()) return false;
  read_before();
  if (blocked_by_long_holders(other_relations())) return false;
  PGRECAST_SYNC_POINT("exchange:definitions_read");
  // A vacuum of theirs has to give way, too.
  if (!lock_gently(carried_.other_tables)) return false;
  if (!lock_materialized_gently()) return false;
  PGRECAST_SYNC_POINT("exchange:before_lock");
  if (!lock_all()) return false;
  if (changed_since(kDependentsState, state_)) return false;
  if (!options_.twins.empty() && !twins_are_right()) return false;
  read_as_renamed();
  if (!lock_sequences()) return false;
  attempt_.waited = since(lock_asked_);
  PGRECAST_SYNC_POINT("exchange:after_lock");
  call_hooks();
  rename_source_columns();
  if (!hold_others()) return false;
  if (changed_since(kUnlockedState, unlocked_state_)) return false;
  PGRECAST_SYNC_POINT("exchange:held");
  read_grants_again();
  if (!exchange_names()) return false;
  if (!grant_on_views()) return false;
  prove();
  restore_source_columns(&plan::TableTarget::retired);
  PGRECAST_SYNC_POINT("exchange:before_record");
  if (hooks_.record) hooks_.record(connection_, carried_.afterwards);
  return true;
}

// As LOCK TABLE takes it: with its partitions; but of those that inherit from
// it only the children, which are among the others, and not theirs.
std::string Exchange::lockable(Oid source,
                               const catalog::QualifiedName& name) const {
  return (parents_.contains(source) ? "ONLY " : "") + name.quoted();
}

bool Exchange::attempt_lock(const std::string& statement, Deadline deadline) {
  try {
    connection_.exec(statement, {}, deadline);
    return true;
  } catch (const TimedOut&) {
  } catch (const pg::SqlError& error) {
    const std::string& state = error.sqlstate();
    if (state != pg::sqlstate::kLockNotAvailable &&
        state != pg::sqlstate::kQueryCanceled &&
        state != pg::sqlstate::kDeadlockDetected) {
      throw;
    }
  }
  not_granted_ = pg::statement_shown(statement);
  return false;
}

// SHARE UPDATE EXCLUSIVE hinders no reader and no writer. It makes autovacuum
// give way, which happens only after the deadlock detector of the one who
// waits has run once, and it keeps DDL out while definitions are read.
bool Exchange::lock_gently() {
  std::vector<std::string> names;
  for (const ExchangeTable& table : tables_) {
    names.push_back(lockable(table.source_oid, table.target->source));
    names.push_back(table.target->shadow.quoted());
  }
  return lock_gently(names);
}

bool Exchange::lock_gently(const std::vector<std::string>& names) {
  if (names.empty()) return true;
  constexpr milliseconds kForAutovacuumToEnd{500};
  const milliseconds wait = deadlock_timeout_ + kForAutovacuumToEnd;
  connection_.exec(
      fmt::format("SET LOCAL synchronous_commit = local;"
                  "SET LOCAL lock_timeout = {}",
                  wait.count()));
  try {
    return attempt_lock(
        fmt::format("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE",
                    join(names, ", ")),
        // With their partitions.
        Deadline::in(wait * static_cast<int>(names.size() + oids_.size()) +
                     kForAutovacuumToEnd));
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() != pg::sqlstate::kUndefinedTable &&
        error.sqlstate() != pg::sqlstate::kInvalidSchemaName) {
      throw;
    }
    throw SourceChanged(fmt::format("a table is gone: {}", error.what()));
  }
}

// Nor any REFRESH, which would wait for us then. LOCK TABLE does not take them.
bool Exchange::lock_materialized_gently() {
  if (carried_.lock_gently.empty()) return true;
  return attempt_lock(
      batch(carried_.lock_gently),
      Deadline::in((deadlock_timeout_ + milliseconds(500)) *
                   (static_cast<int>(carried_.lock_gently.size()) + 1)));
}

// Beside the tables: what is locked, too.
std::vector<Oid> Exchange::other_relations() const {
  std::vector<Oid> all = carried_.other_oids;
  all.insert(all.end(), carried_.materialized_oids.begin(),
             carried_.materialized_oids.end());
  return all;
}

std::vector<Oid> Exchange::originals() const {
  std::vector<Oid> all;
  for (const plan::Twin& twin : options_.twins) all.push_back(twin.original);
  return all;
}

// A materialized view that was refreshed since its twin was filled would go
// back in time.
bool Exchange::twins_are_right() {
  const auto now = plan::read_twins(connection_, reshaped(tables_));
  const auto same = [](const plan::Twin& twin, const plan::Twin& original) {
    return twin.original == original.original &&
           twin.made_by == original.made_by &&
           twin.refreshed == original.refreshed;
  };
  const auto [twin, original] =
      std::ranges::mismatch(options_.twins, now, same);
  if (twin == options_.twins.end() && original == now.end()) return true;
  attempt_.outcome = Attempt::Outcome::kBlocked;
  attempt_.reason = fmt::format(
      "{} was refreshed or changed since its twin on the new table was filled",
      (original == now.end() ? twin->name : original->name).display());
  return false;
}

void Exchange::require_names() {
  for (const ExchangeTable& table : tables_) {
    const pg::Result result = connection_.exec(
        "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid = "
        "$2::pg_catalog.oid, pg_catalog.to_regclass($3)::pg_catalog.oid = "
        "$4::pg_catalog.oid",
        {table.target->source.quoted(), table.source_oid,
         table.target->shadow.quoted(), table.shadow_oid});
    if (result.boolean(0, 0) && result.boolean(0, 1)) continue;
    throw SourceChanged(fmt::format(
        "{} is no longer the table that the migration began with",
        (result.boolean(0, 0) ? table.target->shadow : table.target->source)
            .display()));
  }
}

// What foreign keys of the script refer to. What goes from here on, the server
// misses.
void Exchange::require_references() {
  std::vector<const plan::TableTarget*> targets;
  for (const ExchangeTable& table : tables_) targets.push_back(table.target);
  const auto lost = plan::lost_references(connection_, targets);
  if (!lost.empty()) {
    throw ExchangeRefused("a foreign key of the script cannot be made", lost);
  }
}

void Exchange::require_carried() {
  std::vector<std::string> lines;
  for (const ExchangeTable& table : tables_) {
    catalog::Table source;
    source.oid = table.source_oid;
    source.name = table.target->source;
    auto refusals = catalog::uncarried_dependents(connection_, source,
                                                  options_.own_publication);
    std::ranges::move(plan::unfit_leaf(connection_, source),
                      std::back_inserter(refusals));
    std::ranges::move(plan::unfit_child(connection_, source),
                      std::back_inserter(refusals));
    std::ranges::move(plan::unfit_parent(connection_, source),
                      std::back_inserter(refusals));
    if (table.target->partitioned()) {
      std::ranges::move(
          plan::unfit_for_partitions(connection_, source, table.shadow_oid),
          std::back_inserter(refusals));
    }
    for (Refusal& refusal : refusals) lines.push_back(std::move(refusal.what));
    std::ranges::move(
        plan::changed_partitions(connection_, *table.target, table.source_oid),
        std::back_inserter(lines));
  }
  const auto shapes = reshaped(tables_);
  auto refusals = catalog::uncarried_views(connection_, shapes);
  std::ranges::move(plan::unfit_leaf_keys(connection_, shapes),
                    std::back_inserter(refusals));
  for (const catalog::Reshaped& shape : shapes) {
    std::ranges::move(catalog::readers_by_place(connection_, shape),
                      std::back_inserter(refusals));
  }
  for (Refusal& refusal : refusals) lines.push_back(std::move(refusal.what));
  if (!lines.empty()) {
    throw ExchangeRefused("what came to the table cannot be carried over",
                          lines);
  }
}

Inventory Exchange::inventory(Oid oid) {
  return execute("pgrecast_inventory", oid);
}

Inventory Exchange::view_inventory(Oid oid) {
  if (!carried_.has_views) return {};
  return execute("pgrecast_view_inventory", oid);
}

Inventory Exchange::execute(const std::string& prepared, Oid oid) {
  return catalog::facts_of(
      execute_prepared(fmt::format("{}({})", prepared, oid)));
}

pg::Result Exchange::execute_prepared(const std::string& call) {
  // The same plan for all: planning takes longer than running it. Not for the
  // hooks' statements, though.
  pg::Result found = connection_.exec(
      fmt::format("SET LOCAL plan_cache_mode = force_generic_plan;"
                  "EXECUTE {}",
                  call),
      {}, deadline_.earlier(Deadline::in(pg::kStatementTimeMax)));
  connection_.exec("SET LOCAL plan_cache_mode = DEFAULT");
  return found;
}

std::string Exchange::state(const std::string& prepared) {
  std::vector<Oid> sources;
  for (const ExchangeTable& table : tables_) {
    sources.push_back(table.source_oid);
  }
  return std::string(execute_prepared(fmt::format("{}('{}')", prepared,
                                                  catalog::oid_array(sources)))
                         .text(0, 0));
}

// Between the reading of definitions and now: what is replayed would undo it.
bool Exchange::changed_since(const std::string& prepared,
                             const std::string& state) {
  if (this->state(prepared) == state) return false;
  attempt_.outcome = Attempt::Outcome::kBlocked;
  attempt_.reason = "a dependent of the table was changed just now";
  return true;
}

void Exchange::read_before() {
  // First: what changes while all else is read shows later.
  state_ = state(kDependentsState);
  unlocked_state_ = state(kUnlockedState);
  carried_ = read_carried(connection_, tables_, options_);
  before_.clear();
  for (const ExchangeTable& table : tables_) {
    before_.push_back(Before{
        .source = inventory(table.source_oid),
        .shadow = inventory(table.shadow_oid),
        .partitions =
            read_partition_facts(connection_, *table.target, table.shadow_oid),
        .source_parts = read_tree(connection_, table.source_oid),
        .shadow_parts = read_tree(connection_, table.shadow_oid)});
  }
}

// Those that others are parts of or inherit from: of how many each is one
// itself. Whoever goes through one locks it before those below it.
std::map<Oid, int> Exchange::depths() const {
  if (carried_.wholes.empty()) return {};
  const pg::Result result = connection_.exec(
      R"sql(
WITH RECURSIVE up(oid, above) AS (
  SELECT w.oid, w.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS w(oid)
  UNION
  SELECT up.oid, i.inhparent FROM up
  JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.above)
SELECT up.oid, pg_catalog.count(*) FROM up GROUP BY up.oid)sql",
      {catalog::oid_array({carried_.wholes.begin(), carried_.wholes.end()})});
  std::map<Oid, int> depths;
  for (int row = 0; row < result.rows(); ++row) {
    depths.emplace(result.number<Oid>(row, 0), result.number<int>(row, 1));
  }
  return depths;
}

// From the first to the last within less than deadlock_timeout, whatever their
// number; else a writer who waits for us could be made the deadlock's victim.
bool Exchange::lock_all() {
  const milliseconds each =
      std::clamp(options_.lock_timeout, milliseconds(1), deadlock_timeout_ / 2);
  // Should this process hang, or its host die, while it holds the locks: the
  // server ends the session then, and nothing has happened.
  constexpr milliseconds kAfterBudget{1000};
  connection_.exec(
      fmt::format("SET LOCAL lock_timeout = {0};"
                  "SET LOCAL statement_timeout = {1};"
                  "SET LOCAL idle_in_transaction_session_timeout = {1}",
                  each.count(), (options_.budget + kAfterBudget).count()));
  std::vector<std::pair<Oid, std::string>> relations;
  for (const ExchangeTable& table : tables_) {
    relations.emplace_back(table.source_oid,
                           lockable(table.source_oid, table.target->source));
    relations.emplace_back(table.shadow_oid, table.target->shadow.quoted());
  }
  for (std::size_t i = 0; i < carried_.other_oids.size(); ++i) {
    relations.emplace_back(carried_.other_oids[i], carried_.other_tables[i]);
  }
  const auto depth = depths();
  std::ranges::sort(relations, {}, [&](const auto& relation) {
    const auto found = depth.find(relation.first);
    return std::tuple(found == depth.end(),
                      found == depth.end() ? 0 : found->second, relation.first);
  });
  std::vector<std::string> names;
  names.reserve(relations.size());
  for (const auto& relation : relations) names.push_back(relation.second);

  lock_asked_ = Clock::now();
  deadline_ = Deadline::in(options_.budget);
  const Deadline locked_by =
      deadline_.earlier(Deadline::in(deadlock_timeout_ * 4 / 5));
  if (!carried_.lock_views.empty()) {
    if (!attempt_lock(batch(carried_.lock_views), locked_by)) return false;
    held_since_ = Clock::now();
  }
  const std::string statement =
      fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", join(names, ", "));
  if (!attempt_lock(statement, locked_by)) return false;
  if (!held_since_) held_since_ = Clock::now();
  return true;
}

bool Exchange::lock_sequences() {
  if (carried_.lock_sequences.empty()) return true;
  return attempt_lock(batch(carried_.lock_sequences),
                      deadline_.earlier(Deadline::in(deadlock_timeout_ * 4 / 5 -
                                                     since(lock_asked_))));
}

// "Tuple concurrently updated": the next attempt has it.
void Exchange::changed_just_now(const pg::SqlError& error) {
  attempt_.outcome = Attempt::Outcome::kBlocked;
  attempt_.reason = fmt::format(
      "a dependent of the table was changed just now: {}", error.what());
}

// Who was writing such a row already makes us fail when he commits.
bool Exchange::hold_others() {
  const auto statements = hold_dependents(connection_, tables_);
  if (statements.empty()) return true;
  try {
    return attempt_lock(batch(statements), deadline_);
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() != pg::sqlstate::kInternalError) throw;
    changed_just_now(error);
    return false;
  }
}

void Exchange::call_hooks() {
  if (hooks_.check) hooks_.check(connection_);
  if (hooks_.drain) hooks_.drain(connection_, deadline_);
  PGRECAST_SYNC_POINT("exchange:after_drain");
  if (deadline_.passed()) throw TimedOut("refreshing the last dirty keys");
}

// Definitions that the server prints while the old table's columns have the
// names that the script gives them are right for the new one. So they get those
// names for as long, under the table's lock, and all is read once more.
void Exchange::read_as_renamed() {
  for (ExchangeTable& table : tables_) {
    renamings_.push_back(
        catalog::rename_columns(connection_, table.source_oid, table.renamed));
    table.renamed.clear();
  }
  if (std::ranges::all_of(renamings_, &catalog::ColumnRenaming::empty)) return;
  rename_source_columns();
  read_before();
  restore_source_columns(&plan::TableTarget::source);  // the drain reads it
}

void Exchange::rename_source_columns() {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    if (renamings_[i].empty()) continue;
    connection_.exec(batch(renamings_[i].statements(tables_[i].target->source)),
                     {}, deadline_);
  }
}

void Exchange::restore_source_columns(
    catalog::QualifiedName plan::TableTarget::*where) {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    if (renamings_[i].empty()) continue;
    connection_.exec(batch(renamings_[i].undo(tables_[i].target->*where)), {},
                     deadline_);
  }
}

// Whom the server grants on a new view by itself, says the view alone.
bool Exchange::grant_on_views() {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < view_grants_.size(); ++i) {
    const Carried::View& view = carried_.views_anew[i];
    auto statements =
        grant_statements({.relation = view.name.quoted(),
                          .on = catalog::GrantOn::kTable,
                          .present = read_grants(connection_, anew(view)),
                          .wanted = view_grants_[i],
                          .current_role = current_role_});
    std::ranges::move(statements, std::back_inserter(all));
  }
  return all.empty() || run_batch(all);
}

// The one that has its name now.
Oid Exchange::anew(const Carried::View& view) {
  return catalog::find_relation(connection_, view.name.schema, view.name.name)
      .value();
}

// As late as can be: GRANT takes no lock on the table.
void Exchange::read_grants_again() {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    before_[i].source.merge(view_inventory(tables_[i].source_oid));
  }
  for (const Carried::View& view : carried_.views_anew) {
    view_grants_.push_back(read_grants(connection_, view.oid));
    materialized_.push_back(view.materialized ? inventory(view.oid)
                                              : Inventory{});
  }
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const ExchangeTable& table = tables_[i];
    std::vector<Grant> wanted;
    for (Grant& grant : read_grants(connection_, table.source_oid)) {
      if (!grant.column.empty()) {
        const auto column = new_column(table, grant.column, before_[i].shadow);
        if (!column) continue;
        grant.column = *column;
      }
      wanted.push_back(std::move(grant));
    }
    apply_script(table.target->grants, wanted);
    wanted_.push_back(wanted);
    auto statements =
        grant_statements({.relation = table.target->source.quoted(),
                          .on = catalog::GrantOn::kTable,
                          .present = read_grants(connection_, table.shadow_oid),
                          .wanted = std::move(wanted),
                          .current_role = current_role_});
    std::ranges::move(statements, std::back_inserter(grants_));
    std::ranges::move(row_type_statements(connection_, table, current_role_),
                      std::back_inserter(grants_));
    for (const auto& [was, now] : pairs_with_other_grants(
             connection_, partition_pairs(before_[i].source_parts,
                                          before_[i].shadow_parts))) {
      auto more =
          grant_statements({.relation = pg::quote_qualified(
                                table.target->source.schema, now.name.name),
                            .on = catalog::GrantOn::kTable,
                            .present = read_grants(connection_, now.oid),
                            .wanted = read_grants(connection_, was.oid),
                            .current_role = current_role_});
      std::ranges::move(more, std::back_inserter(grants_));
    }
  }
  for (const Carried::Identity& identity : carried_.identities) {
    auto statements =
        grant_statements({.relation = identity.name,
                          .on = catalog::GrantOn::kSequence,
                          .present = read_grants(connection_, identity.to),
                          .wanted = read_grants(connection_, identity.from),
                          .current_role = current_role_});
    std::ranges::move(statements, std::back_inserter(grants_));
  }
}

// Of the array types of tables `moved`: schema and name, where something that
// is none of `gone`'s has that name in `schema`.
std::string array_name_is_taken(const std::string& moved,
                                const std::string& schema,
                                const std::string& gone) {
  return fmt::format(
      R"sql(SELECT n.nspname, t.typname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_type r ON r.oid = c.reltype
JOIN pg_catalog.pg_type t ON t.oid = r.typarray
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_namespace there ON there.nspname = {1}
JOIN pg_catalog.pg_type other
  ON other.typname = t.typname AND other.typnamespace = there.oid
WHERE c.oid = ANY ({0}::pg_catalog.oid[])
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_class g
                  JOIN pg_catalog.pg_type o ON o.oid = g.reltype
                  WHERE o.typarray = other.oid
                    AND g.oid = ANY ({2}::pg_catalog.oid[]))
LIMIT 1)sql",
      moved, schema, gone);
}

// The next name may be taken as well.
std::string free_array_names(const std::vector<Oid>& moved,
                             const std::string& schema,
                             const std::vector<Oid>& gone) {
  const std::string body = fmt::format(
      R"sql(
DECLARE
  taken record;
BEGIN
  LOOP
    {} INTO taken;
    EXIT WHEN NOT FOUND;
    EXECUTE pg_catalog.format('CREATE TYPE %I.%I AS ENUM ()', taken.nspname,
                              taken.typname);
    EXECUTE pg_catalog.format('DROP TYPE %I.%I', taken.nspname, taken.typname);
  END LOOP;
END)sql",
      array_name_is_taken(pg::quote_literal(catalog::oid_array(moved)),
                          pg::quote_literal(schema),
                          pg::quote_literal(catalog::oid_array(gone))));
  return "DO " + pg::quote_literal(body);
}

// The array type behind a table is called _t by the server, or otherwise where
// that name is taken. Where something else has it in the schema to which a new
// table (or a twin) is going to move, its array type gets another name: whoever
// makes a type of that name has the server rename it.
std::vector<std::string> Exchange::free_names() const {
  std::vector<std::string> all;
  const auto add = [&](const std::vector<Oid>& moved, const std::string& schema,
                       const std::vector<Oid>& gone) {
    const pg::Result taken = connection_.exec(
        array_name_is_taken("$1", "$2", "$3"),
        {catalog::oid_array(moved), schema, catalog::oid_array(gone)});
    if (!taken.empty()) all.push_back(free_array_names(moved, schema, gone));
  };
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    std::vector<Oid> moved = {tables_[i].shadow_oid};
    std::vector<Oid> gone = {tables_[i].source_oid};
    for (const TreePart& part : before_[i].shadow_parts) {
      moved.push_back(part.oid);
    }
    for (const TreePart& part : before_[i].source_parts) {
      gone.push_back(part.oid);
    }
    add(moved, tables_[i].target->source.schema, gone);
  }
  for (const plan::Twin& twin : options_.twins) {
    const auto oid =
        catalog::find_relation(connection_, twin.place.schema, twin.place.name);
    if (oid) add({*oid}, twin.name.schema, {twin.original});
  }
  return all;
}

std::vector<std::string> Exchange::statements() const {
  std::vector<std::string> all = free_names();
  const auto add = [&](const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  for (const ExchangeTable& table : tables_) {
    const plan::TableTarget& target = *table.target;
    if (target.key_index_is_ours) {
      for (const std::string& name : target.key_index_names()) {
        all.push_back("DROP INDEX " +
                      pg::quote_qualified(target.shadow.schema, name));
      }
    }
    add(target.late_constraints);
  }
  add(carried_.before);
  add(carried_.detach);
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const plan::TableTarget& target = *tables_[i].target;
    all.push_back(fmt::format("ALTER TABLE {} SET SCHEMA {}",
                              target.source.quoted(),
                              pg::quote_identifier(target.retired.schema)));
    all.push_back(fmt::format("ALTER TABLE {} SET SCHEMA {}",
                              target.shadow.quoted(),
                              pg::quote_identifier(target.source.schema)));
    add(move_partitions(target, before_[i].source_parts));
  }
  add(carried_.attach);
  // Before the grants are reset: a foreign key may need the owner's own.
  add(carried_.after);
  add(grants_);
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const plan::TableTarget& target = *tables_[i].target;
    add(guard(target, target.retired));
    // A partition is written to by its own name, too.
    for (const TreePart& part : before_[i].source_parts) {
      add(guard(target,
                {.schema = target.retired.schema, .name = part.name.name}));
    }
  }
  return all;
}

bool Exchange::exchange_names() {
  return run_batch(statements());
}

// None of these statements reads a row of a table. But a function's body that
// the server checks may go through a rule, which acts for the table's owner:
// under FORCE ROW LEVEL SECURITY that is refused where policies are an error.
bool Exchange::run_batch(const std::vector<std::string>& all) {
  try {
    connection_.exec(fmt::format("SET LOCAL row_security = on;\n{};\n"
                                 "SET LOCAL row_security = off",
                                 batch(all)),
                     {}, deadline_);
    return true;
  } catch (const pg::SqlError& error) {
    const std::string& state = error.sqlstate();
    if (state == pg::sqlstate::kLockNotAvailable ||
        state == pg::sqlstate::kDeadlockDetected) {
      not_granted_ = error.what();
      return false;
    }
    if (state == pg::sqlstate::kInternalError) {
      changed_just_now(error);
      return false;
    }
    if (error.remedy() != Remedy::kFail) throw;
    throw ExchangeRefused(
        fmt::format("the exchange failed on the server: {}", error.what()), {});
  }
}

Inventory Exchange::expected_of_partitions(std::size_t table) const {
  Inventory facts = before_[table].partitions;
  for (const Carried::LeafKeys& keys : carried_.leaf_keys) {
    if (keys.referencing != tables_[table].source_oid) continue;
    for (const auto& leaf : keys.leaves) {
      facts.emplace(
          fmt::format("partition {} constraint {}", leaf.called, keys.name),
          keys.definition + " NOT VALID");
    }
  }
  return facts;
}

void Exchange::prove() {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    Inventory now = inventory(tables_[i].shadow_oid);
    now.merge(view_inventory(tables_[i].shadow_oid));
    const Inventory retired = inventory(tables_[i].source_oid);
    std::vector<std::string> in_both;
    for (const auto& [was, is_now] :
         partition_pairs(before_[i].source_parts, before_[i].shadow_parts)) {
      in_both.push_back(was.called);
    }
    Inventory retired_parts = read_partition_facts(
        connection_, *tables_[i].target, tables_[i].source_oid);
    auto found = Proof(tables_[i], options_, carried_, before_[i], wanted_[i],
                       retired, now)
                     .differences();
    std::ranges::move(plan::column_grants(retired_parts),
                      std::back_inserter(found));
    const Inventory parts = read_partition_facts(
        connection_, *tables_[i].target, tables_[i].shadow_oid);
    Inventory expected_parts = expected_of_partitions(i);
    for (auto& [fact, value] : expected_parts) {
      value = with_moved_sequence(*tables_[i].target, fact, value, parts);
    }
    std::ranges::move(
        partition_differences(*tables_[i].target,
                              {.before = std::move(expected_parts),
                               .now = parts,
                               .retired = std::move(retired_parts),
                               .in_both = std::move(in_both)},
                              now),
        std::back_inserter(found));
    for (std::string& line : found) {
      lines.push_back(
          fmt::format("{}: {}", tables_[i].target->source.display(), line));
    }
  }
  for (std::size_t i = 0; i < carried_.views_anew.size(); ++i) {
    const Carried::View& view = carried_.views_anew[i];
    if (!view.materialized) continue;
    for (const std::string& line : materialized_differences(
             materialized_[i], inventory(anew(view)),
             std::ranges::any_of(before_, columns_come_or_go))) {
      lines.push_back(fmt::format("{}: {}", view.name.display(), line));
    }
  }
  if (lines.empty()) return;
  throw ExchangeRefused("the new table differs from what was planned", lines);
}

void Exchange::name_holders() {
  if (!not_granted_) return;  // attempt_ says already why
  attempt_.outcome = Attempt::Outcome::kLockNotGranted;
  attempt_.waited = since(lock_asked_);
  std::vector<Oid> relations = oids_;
  const std::vector<Oid> others = other_relations();
  relations.insert(relations.end(), others.begin(), others.end());
  const auto holders = find_holders(connection_, relations, milliseconds(0));
  attempt_.reason = fmt::format(
      "{}: {}",
      holders.empty() ? "who held a lock is gone by now" : join(holders, "; "),
      *not_granted_);
}

}  // namespace

ExchangeRefused::ExchangeRefused(const std::string& message,
                                 std::vector<std::string> differences)
    : Error(differences.empty()
                ? message
                : fmt::format("{}: {}", message, join(differences, "; ")),
            Remedy::kFail),
      differences_(std::move(differences)) {}

std::string guard_function(const std::string& retired_schema) {
  return pg::quote_qualified(retired_schema, kGuard) + "()";
}

void prepare_guard(pg::Connection& connection,
                   const std::string& retired_schema) {
  connection.exec(fmt::format(
      R"sql(CREATE OR REPLACE FUNCTION {0} RETURNS pg_catalog.trigger
LANGUAGE plpgsql SET search_path = '' AS $guard$
BEGIN
  RAISE EXCEPTION 'this table was replaced by % and is only kept until "pgrecast finish"', TG_ARGV[0]
    USING ERRCODE = '55000',
          HINT = 'Use the new table; a session that still has this one should connect anew.';
END $guard$;
GRANT EXECUTE ON FUNCTION {0} TO PUBLIC)sql",
      guard_function(retired_schema)));
}

Attempt attempt_exchange(pg::Connection& connection,
                         const std::vector<ExchangeTable>& tables,
                         const ExchangeOptions& options,
                         const ExchangeHooks& hooks) {
  PGRECAST_ASSERT(!tables.empty(), "an exchange of nothing");
  return Exchange(connection, tables, options, hooks).run();
}

bool was_exchanged(pg::Connection& connection, const ExchangeTable& table) {
  const pg::Result result = connection.exec(
      "SELECT COALESCE(pg_catalog.to_regclass($1)::pg_catalog.oid = "
      "$2::pg_catalog.oid, false)",
      {table.target->source.quoted(), table.shadow_oid});
  return result.boolean(0, 0);
}

}  // namespace pgrecast::exchange
