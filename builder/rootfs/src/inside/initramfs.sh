# Read by mkinitramfs as one of its conf-hooks while an image is built, and then removed: nothing of it is in the image.
#
# For each of some 750 modules mkinitramfs starts readlink, realpath and mkdir several times and modinfo once, mostly to
# learn what the shell can tell by itself. That is 10 000 of 13 000 started programs. The functions below answer where the
# answer is plain, and start the program where it is not: the initramfs is the same to the bit.

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
