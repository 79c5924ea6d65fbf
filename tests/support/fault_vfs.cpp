#include "support/fault_vfs.hpp"

#include <sqlite3.h>

#include <new>
#include <stdexcept>

namespace gateway::test {

namespace {

using call = fault_vfs::call;

// What SQLite holds of an open file: this, then the real one.
struct faulty_file : sqlite3_file {
    fault_vfs* owner;
    std::string* path;

    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

faulty_file& as_faulty(sqlite3_file* f) { return *static_cast<faulty_file*>(f); }
sqlite3_file* real(sqlite3_file* f) { return as_faulty(f).real(); }
int ask(sqlite3_file* f, call what) { return as_faulty(f).owner->ask(what, *as_faulty(f).path); }

int close_file(sqlite3_file* f)
{
    delete as_faulty(f).path;
    return real(f)->pMethods->xClose(real(f));
}

int read_file(sqlite3_file* f, void* into, int size, sqlite3_int64 at)
{
    const int rc = ask(f, call::read);
    return rc != 0 ? rc : real(f)->pMethods->xRead(real(f), into, size, at);
}

int write_file(sqlite3_file* f, const void* from, int size, sqlite3_int64 at)
{
    const int rc = ask(f, call::write);
    return rc != 0 ? rc : real(f)->pMethods->xWrite(real(f), from, size, at);
}

int truncate_file(sqlite3_file* f, sqlite3_int64 size)
{
    const int rc = ask(f, call::truncate);
    return rc != 0 ? rc : real(f)->pMethods->xTruncate(real(f), size);
}

int sync_file(sqlite3_file* f, int flags)
{
    const int rc = ask(f, call::sync);
    return rc != 0 || as_faulty(f).owner->skips_syncs() ? rc
                                                        : real(f)->pMethods->xSync(real(f), flags);
}

int map_index(sqlite3_file* f, int page, int size, int extend, void volatile** out)
{
    const int rc = ask(f, call::map);
    return rc != 0 ? rc : real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

const sqlite3_io_methods methods = {
    2,
    close_file,
    read_file,
    write_file,
    truncate_file,
    sync_file,
    [](sqlite3_file* f, sqlite3_int64* size) {
        return real(f)->pMethods->xFileSize(real(f), size);
    },
    [](sqlite3_file* f, int level) { return real(f)->pMethods->xLock(real(f), level); },
    [](sqlite3_file* f, int level) { return real(f)->pMethods->xUnlock(real(f), level); },
    [](sqlite3_file* f, int* held) { return real(f)->pMethods->xCheckReservedLock(real(f), held); },
    [](sqlite3_file* f, int op, void* arg) {
        return real(f)->pMethods->xFileControl(real(f), op, arg);
    },
    [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); },
    [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); },
    map_index,
    [](sqlite3_file* f, int offset, int n, int flags) {
        return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
    },
    [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); },
    [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); },
    nullptr,
    nullptr,
};

} // namespace

struct fault_vfs::impl {
    sqlite3_vfs vfs{};
    sqlite3_vfs* base = nullptr;
    plan faults;

    static impl& of(sqlite3_vfs* v) { return *static_cast<fault_vfs*>(v->pAppData)->impl_; }

    static int open(sqlite3_vfs* v, const char* path, sqlite3_file* f, int flags, int* out)
    {
        auto* owner = static_cast<fault_vfs*>(v->pAppData);
        const std::string name = path != nullptr ? path : "";
        auto& file = as_faulty(f);
        file.pMethods = nullptr; // SQLite closes only what has methods
        const int refused = owner->ask(call::open, name);
        if (refused != 0)
            return refused;
        auto* base = owner->impl_->base;
        const int rc = base->xOpen(base, path, file.real(), flags, out);
        if (rc != SQLITE_OK)
            return rc;
        file.owner = owner;
        file.path = new std::string(name);
        file.pMethods = &methods;
        return SQLITE_OK;
    }

    static int remove(sqlite3_vfs* v, const char* path, int sync)
    {
        const int rc = static_cast<fault_vfs*>(v->pAppData)->ask(call::remove, path);
        auto* base = of(v).base;
        return rc != 0 ? rc : base->xDelete(base, path, sync);
    }
};

fault_vfs::fault_vfs(std::string name) : name_(std::move(name)), impl_(std::make_unique<impl>())
{
    impl_->base = sqlite3_vfs_find(nullptr);
    if (impl_->base == nullptr)
        throw std::runtime_error("SQLite has no file system");
    auto& vfs = impl_->vfs;
    vfs = *impl_->base; // time, randomness and paths are as they were
    vfs.szOsFile += static_cast<int>(sizeof(faulty_file));
    vfs.pNext = nullptr;
    vfs.zName = name_.c_str();
    vfs.pAppData = this;
    vfs.xOpen = &impl::open;
    vfs.xDelete = &impl::remove;
    vfs.xAccess = [](sqlite3_vfs* v, const char* path, int flags, int* out) {
        return impl::of(v).base->xAccess(impl::of(v).base, path, flags, out);
    };
    vfs.xFullPathname = [](sqlite3_vfs* v, const char* path, int size, char* out) {
        return impl::of(v).base->xFullPathname(impl::of(v).base, path, size, out);
    };
    sqlite3_vfs_register(&vfs, 0);
}

fault_vfs::~fault_vfs() { sqlite3_vfs_unregister(&impl_->vfs); }

void fault_vfs::set(plan p) { impl_->faults = std::move(p); }

void fault_vfs::fail(call what, int nth, int code)
{
    set([what, left = nth, code](call asked, const std::string&) mutable {
        return asked == what && --left == 0 ? code : 0;
    });
}

int fault_vfs::ask(call what, const std::string& file)
{
    return impl_->faults ? impl_->faults(what, file) : 0;
}

} // namespace gateway::test
