#pragma once

// Opens the journal's database file: its settings, its version, and the way forward from older
// versions. Private to store.

#include "store/journal.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>
#include <string>

namespace gateway::store {

constexpr int schema_version = 2;

// Ready to use and of this version. Throws std::runtime_error that says what to do.
std::unique_ptr<SQLite::Database> open_database(const std::string& file, const std::string& vfs);

// As it is, of this version or an older one, for reading only. Throws as above.
std::unique_ptr<SQLite::Database> open_to_look(const std::string& file);

// Throws what open_database() throws when SQLite says this of the file.
[[noreturn]] void refuse_to_open(const std::string& file, const SQLite::Exception& e);

// What a failed call means to whoever asked for it.
journal_errc meaning_of(const SQLite::Exception& e, const SQLite::Database* db);

} // namespace gateway::store
