# A guest of one sector, for tests. GNU as: as --32 guest.s -o guest.o && objcopy -O binary guest.o guest.bin
.code16
start:  cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7c00, %sp
        ljmp $0, $0x7c00 + (go - start)
go:     sti
        mov %dl, 0x7c00 + (drive - start)
        cmpb $0, 0x7c00 + (deaf - start)
        jne 1f
        mov $0x602, %dx                 # PM1a enable: power button
        mov $0x100, %ax
        out %ax, %dx
1:      mov $0x7c00 + (packet - start), %si
        call write                      # LBA 1 holds "TIFFIN" from the first boot on
        mov $0x7c00 + (hello - start), %si
        call say
loop:   hlt
        mov $0x600, %dx                 # PM1a status
        in %dx, %ax
        test $0x100, %ax
        jnz off
        mov $0x3fd, %dx
        in %dx, %al
        test $1, %al
        jz loop
        mov $0x3f8, %dx
        in %dx, %al
        cmp $'p', %al                   # power off
        je off
        cmp $'w', %al                   # write "TIFFIN" to LBA 2 as well
        jne flood
        movb $2, 0x7c00 + (lba - start)
        mov $0x7c00 + (packet - start), %si
        call write
        mov $0x7c00 + (wrote - start), %si
        call say
        jmp loop
flood:  cmp $'f', %al                   # write for ever
        jne loop
1:      mov $0x7c00 + (hello - start), %si
        call say
        jmp 1b
off:    mov $0x7c00 + (bye - start), %si
        call say
        mov $0x604, %dx                 # PM1a control: sleep enable, type 0 (S5)
        mov $0x2000, %ax
        out %ax, %dx
        jmp loop
write:  mov 0x7c00 + (drive - start), %dl
        mov $0x4300, %ax
        int $0x13
        ret
say:    lodsb
        test %al, %al
        jz 2f
        mov %al, %bl
1:      mov $0x3fd, %dx
        in %dx, %al
        test $0x20, %al
        jz 1b
        mov %bl, %al
        mov $0x3f8, %dx
        out %al, %dx
        jmp say
2:      ret
hello:  .asciz "tiffin test guest\r\nlogin: \r\n"
wrote:  .asciz "written\r\n"
bye:    .asciz "bye\r\n"
drive:  .byte 0
packet: .byte 16, 0
        .word 1, 0x7c00 + (data - start), 0
lba:    .long 1, 0
        . = start + 0x1a0
data:   .ascii "TIFFIN"
        . = start + 0x1b0
deaf:   .byte 0
        . = start + 510
        .byte 0x55, 0xaa
