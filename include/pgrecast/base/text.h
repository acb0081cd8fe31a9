#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast {

// `parts` with `separator` between them.
std::string join(const std::vector<std::string>& parts,
                 std::string_view separator);

// FNV-1a, 64 bits, as 16 hexadecimal digits: the same on every machine and in
// every version, for names that must be found again (slots, schemas).
std::string stable_hash(std::string_view text);

// At most `bytes_max` bytes of `text`, never ending inside a UTF-8 sequence.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max);

}  // namespace pgrecast
