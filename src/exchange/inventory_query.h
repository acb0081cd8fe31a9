#pragma once

#include <string>

namespace pgrecast::exchange {

// Of one parameter, the table's OID; answers (fact, value). The exchange
// prepares it, since planning it takes longer than running it.
std::string inventory_query(int server_version);

// The same for the views that read it; facts that begin with "view ".
const char* view_inventory_query();

}  // namespace pgrecast::exchange
