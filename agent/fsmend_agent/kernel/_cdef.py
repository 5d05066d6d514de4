"""Declare the C structs and functions that the kernel room uses: one text a header, in the header's own order.

`_build.py` turns them into `_ffi.py`; `tests/kernel/test_abi.py` compares them with the installed headers.
Only constants that live in structs are here; ioctl numbers and flags stand beside the call that uses them.
"""

TYPES = """
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef int32_t __s32;
typedef uint64_t __u64;
"""

LINUX_FANOTIFY = """
struct fanotify_event_metadata {
    __u32 event_len;
    __u8 vers;
    __u8 reserved;
    __u16 metadata_len;
    __u64 mask;
    __s32 fd;
    __s32 pid;
};
struct fanotify_event_info_header {
    __u8 info_type;
    __u8 pad;
    __u16 len;
};
struct fanotify_event_info_error {
    struct fanotify_event_info_header hdr;
    __s32 error;
    __u32 error_count;
};
"""

LINUX_BTRFS = """
struct btrfs_scrub_progress {
    __u64 data_extents_scrubbed;
    __u64 tree_extents_scrubbed;
    __u64 data_bytes_scrubbed;
    __u64 tree_bytes_scrubbed;
    __u64 read_errors;
    __u64 csum_errors;
    __u64 verify_errors;
    __u64 no_csum;
    __u64 csum_discards;
    __u64 super_errors;
    __u64 malloc_errors;
    __u64 uncorrectable_errors;
    __u64 corrected_errors;
    __u64 last_physical;
    __u64 unverified_errors;
};
struct btrfs_ioctl_scrub_args {
    __u64 devid;
    __u64 start;
    __u64 end;
    __u64 flags;
    struct btrfs_scrub_progress progress;
    __u64 unused[109];
};
struct btrfs_ioctl_dev_info_args {
    __u64 devid;
    __u8 uuid[16];
    __u64 bytes_used;
    __u64 total_bytes;
    __u64 unused[379];
    __u8 path[1024];
};
struct btrfs_ioctl_fs_info_args {
    __u64 max_id;
    __u64 num_devices;
    __u8 fsid[16];
    __u32 nodesize;
    __u32 sectorsize;
    __u32 clone_alignment;
    __u16 csum_type;
    __u16 csum_size;
    __u64 flags;
    __u64 generation;
    __u8 metadata_uuid[16];
    __u8 reserved[944];
};
struct btrfs_ioctl_logical_ino_args {
    __u64 logical;
    __u64 size;
    __u64 reserved[3];
    __u64 flags;
    __u64 inodes;
};
struct btrfs_ioctl_get_dev_stats {
    __u64 devid;
    __u64 nr_items;
    __u64 flags;
    __u64 values[5];
    __u64 unused[121];
};
"""

XFS_FS = """
struct xfs_fsop_geom {
    __u32 blocksize;
    __u32 rtextsize;
    __u32 agblocks;
    __u32 agcount;
    __u32 logblocks;
    __u32 sectsize;
    __u32 inodesize;
    __u32 imaxpct;
    __u64 datablocks;
    __u64 rtblocks;
    __u64 rtextents;
    __u64 logstart;
    unsigned char uuid[16];
    __u32 sunit;
    __u32 swidth;
    __s32 version;
    __u32 flags;
    __u32 logsectsize;
    __u32 rtsectsize;
    __u32 dirblocksize;
    __u32 logsunit;
    uint32_t sick;
    uint32_t checked;
    __u32 rgextents;
    __u32 rgcount;
    __u64 reserved[16];
};
struct xfs_ag_geometry {
    uint32_t ag_number;
    uint32_t ag_length;
    uint32_t ag_freeblks;
    uint32_t ag_icount;
    uint32_t ag_ifree;
    uint32_t ag_sick;
    uint32_t ag_checked;
    uint32_t ag_flags;
    uint64_t ag_reserved[12];
};
struct xfs_bulkstat {
    uint64_t bs_ino;
    uint64_t bs_size;
    uint64_t bs_blocks;
    uint64_t bs_xflags;
    int64_t bs_atime;
    int64_t bs_mtime;
    int64_t bs_ctime;
    int64_t bs_btime;
    uint32_t bs_gen;
    uint32_t bs_uid;
    uint32_t bs_gid;
    uint32_t bs_projectid;
    uint32_t bs_atime_nsec;
    uint32_t bs_mtime_nsec;
    uint32_t bs_ctime_nsec;
    uint32_t bs_btime_nsec;
    uint32_t bs_blksize;
    uint32_t bs_rdev;
    uint32_t bs_cowextsize_blks;
    uint32_t bs_extsize_blks;
    uint32_t bs_nlink;
    uint32_t bs_extents;
    uint32_t bs_aextents;
    uint16_t bs_version;
    uint16_t bs_forkoff;
    uint16_t bs_sick;
    uint16_t bs_checked;
    uint16_t bs_mode;
    uint16_t bs_pad2;
    uint64_t bs_extents64;
    uint64_t bs_pad[6];
};
struct xfs_bulk_ireq {
    uint64_t ino;
    uint32_t flags;
    uint32_t icount;
    uint32_t ocount;
    uint32_t agno;
    uint64_t reserved[5];
};
struct xfs_scrub_metadata {
    __u32 sm_type;
    __u32 sm_flags;
    __u64 sm_ino;
    __u32 sm_gen;
    __u32 sm_agno;
    __u64 sm_reserved[5];
};
struct xfs_scrub_vec {
    __u32 sv_type;
    __u32 sv_flags;
    __s32 sv_ret;
    __u32 sv_reserved;
};
struct xfs_scrub_vec_head {
    __u64 svh_ino;
    __u32 svh_gen;
    __u32 svh_agno;
    __u32 svh_flags;
    __u16 svh_rest_us;
    __u16 svh_nr;
    __u64 svh_reserved;
    __u64 svh_vectors;
};
struct xfs_rtgroup_geometry {
    __u32 rg_number;
    __u32 rg_length;
    __u32 rg_sick;
    __u32 rg_checked;
    __u32 rg_flags;
    __u32 rg_reserved[27];
};
struct xfs_health_monitor_lost {
    __u64 count;
};
struct xfs_health_monitor_fs {
    __u32 mask;
};
struct xfs_health_monitor_group {
    __u32 mask;
    __u32 gno;
};
struct xfs_health_monitor_inode {
    __u32 mask;
    __u32 gen;
    __u64 ino;
};
struct xfs_health_monitor_shutdown {
    __u32 reasons;
};
struct xfs_health_monitor_filerange {
    __u64 pos;
    __u64 len;
    __u64 ino;
    __u32 gen;
    __u32 error;
};
struct xfs_health_monitor_media {
    __u64 daddr;
    __u64 bbcount;
};
struct xfs_health_monitor_event {
    __u32 domain;
    __u32 type;
    __u64 time_ns;
    union {
        struct xfs_health_monitor_lost lost;
        struct xfs_health_monitor_fs fs;
        struct xfs_health_monitor_group group;
        struct xfs_health_monitor_inode inode;
        struct xfs_health_monitor_shutdown shutdown;
        struct xfs_health_monitor_media media;
        struct xfs_health_monitor_filerange filerange;
    } e;
    __u64 pad[2];
};
struct xfs_health_monitor {
    __u64 flags;
    __u8 format;
    __u8 pad[23];
};
struct xfs_health_file_on_monitored_fs {
    __s32 fd;
    __u32 flags;
};
"""

LINUX_FS = """
struct fsuuid2 {
    __u8 len;
    __u8 uuid[16];
};
"""

LIBC = """
struct statfs {
    long f_type;
    long f_bsize;
    unsigned long f_blocks;
    unsigned long f_bfree;
    unsigned long f_bavail;
    unsigned long f_files;
    unsigned long f_ffree;
    int f_fsid[2];
    long f_namelen;
    long f_frsize;
    long f_flags;
    long f_spare[4];
};
struct file_handle {
    unsigned int handle_bytes;
    int handle_type;
    unsigned char f_handle[];
};
int ioctl(int fd, unsigned long request, void *argument);
int syncfs(int fd);
int statfs(const char *path, struct statfs *buffer);
int fanotify_init(unsigned int flags, unsigned int event_f_flags);
int fanotify_mark(int group_fd, unsigned int flags, uint64_t mask, int directory_fd, const char *path);
int name_to_handle_at(int directory_fd, const char *path, struct file_handle *handle, int *mount_id, int flags);
int open_by_handle_at(int mount_fd, struct file_handle *handle, int flags);
int mount(const char *source, const char *target, const char *fs_type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);
long syscall(long number, long first, long second, long third, long fourth, long fifth);
"""

HEADERS = {
    "linux/fanotify.h": LINUX_FANOTIFY,
    "linux/btrfs.h": LINUX_BTRFS,
    "xfs/xfs_fs.h": XFS_FS,
    "linux/fs.h": LINUX_FS,
    "libc": LIBC,
}
"""C text by the header that it repeats."""

CDEF = TYPES + "".join(HEADERS.values())
