# What both guest images are made with. Sourced by their build scripts; everything works without root, loop devices
# and mounts: mke2fs fills a file system from a folder, mtools and syslinux write into a FAT image file.

# fetch_debs DIR PACKAGE...: have the newest version of each package in DIR, and print the paths.
fetch_debs() {
    local dir=$1 uris empty
    shift
    empty=$(mktemp -d -p "$WORK")  # --print-uris is silent about what lies in the current folder already
    local options=()
    if [ "$(id -u)" = 0 ]; then options+=(-o APT::Sandbox::User=root); fi  # DIR is closed to apt's own user
    if ! uris=$(cd "$empty" && apt-get "${options[@]}" download --print-uris "$@" 2>&1); then
        if [ "$(id -u)" = 0 ]; then apt-get update -q >&2; fi
        uris=$(cd "$empty" && apt-get "${options[@]}" download --print-uris "$@")
    fi
    local missing=() package=() file
    for file in $(awk '/^\x27/ {print $2}' <<<"$uris"); do
        package+=("$dir/$file")
        # An interrupted download leaves a part; only what dpkg can read counts.
        dpkg-deb --info "$dir/$file" control >/dev/null 2>&1 || missing+=("${file%%_*}")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        echo "downloading ${#missing[@]} packages" >&2
        (cd "$dir" && apt-get "${options[@]}" download -q "${missing[@]}" >&2)
    fi
    printf '%s\n' "${package[@]}"
}

# boot_partition IMAGE MB KERNEL INITRD CMDLINE: a FAT file system that boots the kernel by syslinux.
boot_partition() {
    local image=$1 config
    config=$(mktemp -p "$WORK")
    rm -f "$image"
    truncate -s "$2M" "$image"
    mkfs.fat -F 16 -n BOOT --invariant "$image" >/dev/null
    cat >"$config" <<CONFIG
SERIAL 0 115200
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  KERNEL /vmlinuz
  INITRD /initrd.img
  APPEND $5
CONFIG
    touch -d "@$SOURCE_DATE_EPOCH" "$config"
    mcopy -m -i "$image" "$3" ::vmlinuz
    mcopy -m -i "$image" "$4" ::initrd.img
    mcopy -m -i "$image" "$config" ::syslinux.cfg
    syslinux -i "$image"
}

# disk RAW BOOT_IMAGE ROOT_IMAGE: one MBR disk of both; the root comes last, so that it can grow.
disk() {
    local boot root
    boot=$(($(stat -c %s "$2") / 1048576))
    root=$(($(stat -c %s "$3") / 1048576))
    rm -f "$1"
    truncate -s $((1 + boot + root))M "$1"
    dd if=/usr/lib/syslinux/mbr/mbr.bin of="$1" bs=440 count=1 conv=notrunc status=none
    {
        printf '\x4e\x49\x46\x46\x00\x00'                  # disk signature
        partition '\x80' '\x0e' 2048 $((boot * 2048))      # active, FAT16 (LBA)
        partition '\x00' '\x83' $((2048 + boot * 2048)) $((root * 2048))
        head -c 32 /dev/zero
        printf '\x55\xaa'
    } | dd of="$1" bs=1 seek=440 conv=notrunc status=none
    dd if="$2" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
    dd if="$3" of="$1" bs=1M seek=$((1 + boot)) conv=notrunc,sparse status=none
}

# partition FLAG TYPE FIRST SECTORS: one entry of an MBR; CHS fields say "use LBA".
partition() {
    printf '%b\xfe\xff\xff%b\xfe\xff\xff' "$1" "$2"
    little_endian "$3"
    little_endian "$4"
}

little_endian() {
    local byte
    for byte in 0 8 16 24; do printf "\\x$(printf %02x $(($1 >> byte & 255)))"; done
}
