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

// True when the process that had the file open last did not close it.
bool was_left_open(const std::string& file);
// Looks through every table but the inputs, which are most of a long queue and are read again
// before they are used: what starting costs depends on the number of jobs, not on their size.
// Throws as above.
void check_tables(SQLite::Database& db, const std::string& file);

// Throws what open_database() throws when SQLite says this of the file.
[[noreturn]] void refuse_to_open(const std::string& file, const SQLite::Exception& e);

// What a failed call means to whoever asked for it.
journal_errc meaning_of(const SQLite::Exception& e, const SQLite::Database* db);

} // namespace gateway::store
