#pragma once

#include <string>

namespace pgrecast::exchange {

// Definitions are read before the locks, and replayed under them. These tell
// whether they are still what was read: queries of one parameter, an array of
// the sources' OIDs, that answer one text. The exchange prepares them.

// Changes when a dependent of one of the tables, or of a view on them, comes,
// goes, is redefined or gets another comment or label. For the moment in which
// all locks are there: what is locked stays so from then on.
std::string dependents_state_query();

// Changes with what no lock on a relation keeps: functions (those that the
// dependents call, too), statistics, publications, and names that
// dependents mention. For the moment of the replay.
std::string unlocked_state_query();

}  // namespace pgrecast::exchange
