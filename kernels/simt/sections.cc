/* sections.cc: reads the section table of /proc/self/exe. The linker gives __start_ and __stop_ symbols only to
 * names that are C identifiers, which AddressSanitizer does not fence (simt.h). */
#include "sections.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct image {
    const unsigned char *at;
    size_t bytes;
};

const image &program() {
    static const image self = [] {
        image m{};
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
            void *p = mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
            if (p != MAP_FAILED) m = {static_cast<unsigned char *>(p), static_cast<size_t>(st.st_size)};
        }
        if (fd >= 0) close(fd);
        return m;
    }();
    return self;
}

int first_object(dl_phdr_info *info, size_t, void *base) {
    *static_cast<uintptr_t *>(base) = info->dlpi_addr; /* the program comes first */
    return 1;
}

} // namespace

bf_section bf_section_find(const char *name) {
    const image &m = program();
    ElfW(Ehdr) eh;
    if (m.bytes < sizeof eh) return {};
    memcpy(&eh, m.at, sizeof eh);
    if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_shentsize != sizeof(ElfW(Shdr)) || eh.e_shstrndx >= eh.e_shnum ||
        eh.e_shoff > m.bytes || (m.bytes - eh.e_shoff) / sizeof(ElfW(Shdr)) < eh.e_shnum)
        return {};
    auto header = [&](unsigned i) {
        ElfW(Shdr) s;
        memcpy(&s, m.at + eh.e_shoff + i * sizeof s, sizeof s);
        return s;
    };
    const ElfW(Shdr) names = header(eh.e_shstrndx);
    if (names.sh_offset > m.bytes || names.sh_size > m.bytes - names.sh_offset) return {};
    const size_t length = strlen(name) + 1;
    uintptr_t base = 0;
    dl_iterate_phdr(first_object, &base);
    for (unsigned i = 0; i < eh.e_shnum; ++i) {
        const ElfW(Shdr) s = header(i);
        if (s.sh_name < names.sh_size && length <= names.sh_size - s.sh_name &&
            memcmp(m.at + names.sh_offset + s.sh_name, name, length) == 0)
            return {reinterpret_cast<unsigned char *>(base + s.sh_addr), s.sh_size};
    }
    return {};
}
