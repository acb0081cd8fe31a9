#include "pgrecast/base/error.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/pg/errors.h"

#include "context.h"

#include <fmt/format.h>

namespace pgrecast::migration {
namespace {

// How long the server may take to notice that our session is gone.
constexpr auto kLockTimeMax = std::chrono::seconds(5);
constexpr milliseconds kLookAgain{50};

bool answers(pg::Connection& connection) {
  try {
    connection.exec("SELECT");
    return true;
  } catch (const pg::ConnectionError&) {
    return false;
  }
}

void take_lock(pg::Connection& connection, const MigrationRecord& record) {
  const Deadline deadline = Deadline::in(kLockTimeMax);
  while (!lock_migration(connection, record)) {
    if (deadline.passed()) {
      throw OwnershipLost(
          fmt::format("another process is at the migration {}", record.name));
    }
    connection.wait_readable(Deadline::in(kLookAgain));
  }
}

}  // namespace

std::optional<MigrationRecord> recover_control(Context& context,
                                               const std::stop_token& stop) {
  if (context.control) context.control->obey(stop);
  if (!context.control || !answers(*context.control)) {
    context.control.reset();
    context.control = context.open("control", stop);
    take_lock(*context.control, context.record);
  }
  auto record = find_migration(*context.control, context.record.name);
  if (record && record->id != context.record.id) record.reset();
  return record;
}

}  // namespace pgrecast::migration
