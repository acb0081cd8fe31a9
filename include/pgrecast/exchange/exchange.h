#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/exchange/inventory.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"
#include "pgrecast/plan/twins.h"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

// The cutover's one short transaction: the source goes to the retired schema,
// the shadow takes its name, and everything that belongs to the table goes
// along, or nothing happens at all (docs/architecture.md).
namespace pgrecast::exchange {

struct ExchangeTable {
  const plan::TableTarget* target = nullptr;  // outlives the attempt
  catalog::Oid source_oid = 0;
  catalog::Oid shadow_oid = 0;
  // Source columns that the script renames: old name, new name. Column grants
  // and owned sequences follow. Without an entry a column keeps its name, and
  // one that the shadow does not have was dropped by the script.
  std::map<std::string, std::string> renamed = {};
  // The inventory of a table of the target's shape, from when it was planned.
  // Without it columns, constraints, comments and options are compared with
  // the source's where the script changes nothing (target.changes is empty),
  // and else with the shadow's own before the exchange.
  std::optional<Inventory> planned = std::nullopt;
};

struct ExchangeOptions {
  // How long each lock is queued for; whoever comes meanwhile queues behind
  // us. Clamped to half of the server's deadlock_timeout: a waiter that waited
  // for longer could make a writer the deadlock's victim.
  milliseconds lock_timeout{300};
  // From the first ACCESS EXCLUSIVE lock's request to COMMIT.
  milliseconds budget{2000};
  // Transactions that hold a lock on one of the tables for longer than this
  // are named beforehand rather than queued behind.
  milliseconds long_holder{1000};
  // The migration's own publication stays with the retired table.
  std::string own_publication = {};
  // Of every materialized view on the tables, as made and filled: where one of
  // the originals is not what it was then, nothing is exchanged (kBlocked).
  std::vector<plan::Twin> twins = {};
};

struct ExchangeHooks {
  // Under all locks: fences, and refreshes the last dirty keys on this session
  // and in this transaction. Throws TimedOut when the deadline passes.
  std::function<void(pg::Connection&, Deadline)> drain;
  // Under all locks, before drain: fingerprints, ownership. Throws to roll
  // back.
  std::function<void(pg::Connection&)> check;
  // Writes the migration's state in the same transaction, last; and what is to
  // be done afterwards (see Attempt), so that a crash cannot lose it.
  std::function<void(pg::Connection&,
                     const std::vector<std::string>& afterwards)>
      record;
};

struct Attempt {
  enum class Outcome {
    kExchanged,
    kLockNotGranted,  // not within lock_timeout; `reason` names the holders
    kOverBudget,      // rolled back in time
    kBlocked,         // long holders found beforehand: did not even queue
  };
  Outcome outcome = Outcome::kBlocked;
  std::string reason;      // for people; empty when exchanged
  milliseconds waited{0};  // for ACCESS EXCLUSIVE locks
  milliseconds held{0};    // from the first one to COMMIT's answer
  // After kExchanged, outside of any transaction, in this order: the foreign
  // keys that were made NOT VALID are validated, ANALYZE fills extended
  // statistics. Each is safe to repeat, and none is urgent.
  std::vector<std::string> afterwards;
};

// The exchange was rolled back, nothing has happened, and trying again would
// not help: the inventories differ, or a dependent cannot be carried.
class ExchangeRefused : public Error {
 public:
  ExchangeRefused(const std::string& message,
                  std::vector<std::string> differences);

  const std::vector<std::string>& differences() const { return differences_; }

 private:
  std::vector<std::string> differences_;
};

// The function behind the guards of the retired tables in that schema.
std::string guard_function(const std::string& retired_schema);

// Creates, or replaces, the function behind the retired tables' guards. Once,
// outside of a transaction or in one, before the first attempt.
void prepare_guard(pg::Connection& connection,
                   const std::string& retired_schema);

// One attempt, in a transaction of its own; the caller backs off and repeats.
// All outcomes but kExchanged have changed nothing and hold nothing.
//
// Schemas of `retired` and `shadow` exist, prepare_guard() was called, and the
// connection is outside of a transaction and not used otherwise. The role owns
// the tables or is a member of their owners.
//
// Throws ExchangeRefused, SourceChanged, whatever the hooks throw (rolled
// back), pg::CommitInDoubt (was_exchanged() on a new connection tells),
// ConnectionError, SqlError, Stopped.
Attempt attempt_exchange(pg::Connection& connection,
                         const std::vector<ExchangeTable>& tables,
                         const ExchangeOptions& options,
                         const ExchangeHooks& hooks);

// Whether the source's name belongs to what was the shadow. After a commit in
// doubt: certain once the session that committed is known to be gone.
bool was_exchanged(pg::Connection& connection, const ExchangeTable& table);

}  // namespace pgrecast::exchange
