// A provider of security labels for PostgreSQL 15, to be loaded by a test's
// server: Debian has none that works without SELinux. It takes every label but
// "forbidden". The server's own headers are a package of their own with a
// compiler in it, and this is all that is needed of them.
//
// Its name is "masking".

namespace {

constexpr int kError = 21;  // ERROR, of elog.h

// PG_MODULE_MAGIC: the server loads nothing that was built for another one.
struct Magic {
  int length = sizeof(Magic);
  int version = 1500;
  int most_arguments = 100;
  int most_index_keys = 32;
  int name_length = 64;
  int float8_by_value = 1;
  char abi[32] = "PostgreSQL";
};

constexpr Magic kMagic;

}  // namespace

extern "C" {

struct ObjectAddress;
using CheckLabel = void (*)(const ObjectAddress* object, const char* label);

// Of the server.
void register_label_provider(const char* name, CheckLabel check);
bool errstart_cold(int level, const char* domain);
int errmsg_internal(const char* format, ...);
void errfinish(const char* file, int line, const char* function);

const Magic* Pg_magic_func() {
  return &kMagic;
}

static void check(const ObjectAddress* /*object*/, const char* label) {
  constexpr const char* kForbidden = "forbidden";
  const char* wanted = kForbidden;
  while (label != nullptr && *label != '\0' && *label == *wanted) {
    ++label;
    ++wanted;
  }
  if (label == nullptr || *label != *wanted) return;
  if (errstart_cold(kError, nullptr)) {
    errmsg_internal("this label is not taken");
    errfinish(__FILE__, __LINE__, __func__);
  }
}

void _PG_init() {
  register_label_provider("masking", check);
}
}
