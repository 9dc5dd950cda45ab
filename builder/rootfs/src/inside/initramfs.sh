# Read by mkinitramfs as one of its conf-hooks while an image is built, and then removed: nothing of it is in the image.
#
# For each of some 750 modules mkinitramfs starts readlink, realpath and mkdir several times and modinfo once, mostly to
# learn what the shell can tell by itself, and cp for it alone. That is 11 000 of 13 000 started programs. The functions
# below answer where the answer is plain, copy many at once, and start the program where neither will do: the initramfs is
# the same to the bit.

# An absolute path without `//`, `.` and `..`.
clic_plain() {
	case "$1/" in
	*//* | */./* | */../*) return 1 ;;
	/*) ;;
	*) return 1 ;;
	esac
}

# A path of something that is there, with no symbolic link on the way to it.
clic_real() {
	clic_plain "$1" && [ -e "$1" ] || return 1
	set -- "$1"
	while [ -n "$1" ]; do
		[ -h "$1" ] && return 1
		set -- "${1%/*}"
	done
}

readlink() {
	if [ $# = 2 ] && [ "$1" = -f ]; then
		if [ "$2" = /bin ]; then
			printf '%s\n' "$clic_bin"
			return
		fi
		if clic_real "$2"; then
			printf '%s\n' "$2"
			return
		fi
	fi
	command readlink "$@"
}
clic_bin=$(command readlink -f /bin)

realpath() {
	if [ $# = 2 ]; then
		case "$1$2" in
		-ms//*)
			if clic_plain "${2#/}"; then
				printf '%s\n' "${2#/}"
				return
			fi
			;;
		-s*)
			if clic_plain "$2" && [ -e "$2" ]; then
				printf '%s\n' "$2"
				return
			fi
			;;
		esac
	fi
	command realpath "$@"
}

mkdir() {
	[ $# = 2 ] && [ "$1" = -p ] && [ -d "$2" ] || command mkdir "$@"
}

# A module that names firmware has the text `firmware=` in it (a compressed one is left to modinfo).
modinfo() {
	if [ $# = 5 ] && [ "$1$2$3$4" = "-k${version}-Ffirmware" ]; then
		case "$5" in
		*.ko)
			case "$clic_firmware" in
			*"
$5
"*) ;;
			*) return 0 ;;
			esac
			;;
		esac
	fi
	command modinfo "$@"
}
clic_firmware="
$(grep -rlF firmware= --include='*.ko' "/lib/modules/${version}/" || :)
"

# Modules of this kernel wait in a list, as empty files, until /init is copied: mkinitramfs does that before it asks hooks,
# the first who could look into a module. Firmware and programs are copied with other options (-pP) than /init.
cp() {
	if [ "$1" != -pP ] && [ -e "${DESTDIR}.modules" ]; then
		(cd / && cpio --pass-through --unconditional --preserve-modification-time --quiet "${DESTDIR}" <"${DESTDIR}.modules") &&
			rm "${DESTDIR}.modules" || return
	fi
	command cp "$@"
}

# mkinitramfs' own, for all that is no plain module of a merged /usr.
eval "$(sed -n '/^copy_file()/,/^}/{s/^copy_file()/clic_copy_file()/;p}' /usr/share/initramfs-tools/hook-functions)"
if command -v clic_copy_file >/dev/null; then
	copy_file() {
		if [ "$#$1$verbose$clic_bin" = 2modulen/usr/bin ] && [ -f "$2" ] && clic_real "/usr$2"; then
			case "$2" in
			"/lib/modules/${version}/"*.ko)
				set -- "${DESTDIR}/usr${2%/*}" "usr$2"
				[ ! -e "${DESTDIR}/$2" ] || return 1
				mkdir -p "$1" || return 2
				: >"${DESTDIR}/$2" && printf '%s\n' "$2" >>"${DESTDIR}.modules"
				return
				;;
			esac
		fi
		clic_copy_file "$@"
	}
fi
